"""The one caller of hooks: who answers, who wraps, who hears, and what passes for an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clustrix_core.dispatch import Dispatch
from clustrix_core.entry import Entry
from clustrix_core.errors import BackendNotInstalled, ClustrixError, PluginError, SubmitRejected
from clustrix_core.hookspecs import hookimpl
from clustrix_core.journal import Innermost, Journal
from clustrix_core.model import JobHandle, JobState, JobStatus
from clustrix_core.plugins import JOBS, MACHINES, Plugins
from tests.unit import toys

AUDIT = (
    toys.HEAD
    + """
@hookimpl(wrapper=True{order})
def submit(job, script, cluster):
    events.append("{name} before " + cluster.backend)
    handle = yield
    events.append("{name} after " + cluster.backend)
    return handle
"""
)


def audit(events: list[str], name: str = "audit", order: str = "") -> ModuleType:
    made = toys.module(f"clustrix_{name}", AUDIT.format(name=name, order=order))
    made.events = events
    return made


def dispatch(*plugins: ModuleType) -> Dispatch:
    found = Plugins()
    for plugin in plugins:
        found.register(plugin, plugin.__name__.removeprefix("clustrix_"))
    return Dispatch(found)


class Recorder:
    """An innermost plugin that notes when it is called."""

    def __init__(self, events: list[str]) -> None:
        self.events = events

    @hookimpl(wrapper=True, trylast=True)
    def submit(self, job: Any) -> Any:
        self.events.append("journal before")
        handle = yield
        self.events.append("journal after")
        return handle


def test_exactly_the_asked_backend_answers() -> None:
    one, two = toys.backend("one"), toys.backend("two")
    asked = dispatch(one, two)
    assert asked.submit(toys.job(), "#!", toys.cluster("two")).native == "two-1"
    assert asked.submit(toys.job(), "#!", toys.cluster("one")).native == "one-1"
    assert (one.events, two.events) == (["submit"], ["submit"])
    asked.cancel([toys.HANDLE], toys.cluster("one"))
    assert (one.events, two.events) == (["submit", "cancel"], ["submit"])


def test_an_unknown_backend_is_an_error_for_every_hook() -> None:
    asked, nowhere = dispatch(toys.backend("one")), toys.cluster("nowhere")
    for ask in (
        lambda: asked.submit(toys.job(), "#!", nowhere),
        lambda: asked.cancel([], nowhere),
        lambda: asked.release(nowhere),
        lambda: asked.find(toys.job(), nowhere),
        lambda: asked.backend("nowhere"),
    ):
        with pytest.raises(BackendNotInstalled):
            ask()


def test_a_wrapper_is_seen_on_every_backend() -> None:
    events: list[str] = []
    asked = dispatch(toys.backend("one"), audit(events), toys.backend("two"))
    for backend in ("one", "two"):
        asked.submit(toys.job(), "#!", toys.cluster(backend))
    assert events == ["audit before one", "audit after one", "audit before two", "audit after two"]


@pytest.mark.parametrize("order", ["", ", trylast=True", ", tryfirst=True"])
def test_nobody_gets_inside_the_journal_however_late(order: str) -> None:
    events: list[str] = []
    plugins = Plugins()
    plugins.register(audit(events, "early", order), "early")
    plugins.register_innermost(Recorder(events), "journal")
    plugins.register(audit(events, "late", order), "late")
    plugins.register(toys.backend("toy"), "toy")
    plugins.register(audit(events, "last", order), "last")
    Dispatch(plugins).submit(toys.job(), "#!", toys.cluster())
    at = events.index("journal before")
    assert events[at : at + 2] == ["journal before", "journal after"]
    assert events.count("journal before") == 1 and len(events) == 8


LATE = toys.HEAD + "\n@hookimpl(wrapper=True{order})\ndef {hook}():\n    yield\n    raise KeyError('late')\n"


def test_the_handle_is_on_disk_before_any_wrapper_can_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal, plugins = Journal(tmp_path), Plugins()
    journal.add(Entry(toys.HANDLE.job, "simulate", "here", {}, "call", {}, "me"))
    plugins.register(toys.backend("toy"), "toy")
    plugins.register_innermost(Innermost(journal), "journal")
    plugins.register(toys.module("late", LATE.format(order=", trylast=True", hook="submit")), "late")
    assert Dispatch(plugins).submit(toys.job(), "#!", toys.cluster()) == toys.HANDLE
    kept = journal.get(toys.HANDLE.job)
    assert kept.handle == toys.HANDLE and kept.phase == "submitted"
    assert "here: a wrapper of submit raised after the backend had answered" in caplog.text and "'late'" in caplog.text
    journal.close()


def test_what_could_not_be_journalled_is_no_answer(tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(toys.backend("toy"), "toy")
    asked = Dispatch(plugins)
    late = toys.module("full", LATE.format(order=", trylast=True", hook="submit"))
    plugins.register_innermost(late, "journal")
    with pytest.raises(KeyError, match="late"):
        asked.submit(toys.job(), "#!", toys.cluster())


def test_who_asks_the_same_plugins_listens_once() -> None:
    plugins = Plugins()
    plugins.register(toys.backend("toy"), "toy")
    for _ in range(3):
        assert Dispatch(plugins).submit(toys.job(), "#!", toys.cluster()) == toys.HANDLE
    assert len(plugins.innermost) == 1


@pytest.mark.parametrize("order", ["", ", trylast=True", ", tryfirst=True"])
@pytest.mark.parametrize("hook", sorted(JOBS | MACHINES))
def test_a_wrapper_that_raises_after_the_answer_does_not_take_it_away(hook: str, order: str) -> None:
    cluster = toys.cluster()
    more = "@hookimpl\ndef provision(cluster): return cluster\n@hookimpl\ndef release(cluster): ...\n"
    ask: dict[str, Callable[[Dispatch], Any]] = {
        **{name: lambda asked, name=name: PROMISED[name](asked, cluster) for name in PROMISED},
        "provision": lambda asked: asked.provision(cluster),
        "release": lambda asked: asked.release(cluster),
        "find": lambda asked: asked.find(toys.job(), cluster),
        "cancel": lambda asked: asked.cancel([toys.HANDLE], cluster),
    }
    quiet = dispatch(toys.backend("toy", more=more))
    loud = dispatch(toys.backend("toy", more=more), toys.module("late", LATE.format(order=order, hook=hook)))
    assert ask[hook](loud) == ask[hook](quiet)


def test_a_wrapper_that_raises_before_the_answer_may_forbid_it() -> None:
    source = toys.HEAD + "\n@hookimpl(wrapper=True)\ndef submit():\n    raise KeyError('no')\n    yield\n"
    toy = toys.backend("toy")
    with pytest.raises(KeyError, match="no"):
        dispatch(toy, toys.module("policy", source)).submit(toys.job(), "#!", toys.cluster())
    assert toy.events == []


def test_a_wrapper_that_asks_for_more_and_raises_takes_no_other_answer() -> None:
    source = toys.HEAD + (
        "\n@hookimpl(wrapper=True)\ndef submit(cluster):\n    ask.cancel([], cluster)\n    handle = yield\n"
        "    ask.logs(None, cluster)\n    raise KeyError(handle)\n"
    )
    curious = toys.module("curious", source)
    curious.ask = asked = dispatch(toys.backend("toy"), curious)
    assert asked.submit(toys.job(), "#!", toys.cluster()).native == "toy-1"
    more = "@hookimpl\ndef submit(): raise KeyError('refused')"
    curious = toys.module("curious", source)
    curious.ask = asked = dispatch(toys.backend("toy", more=more), curious)
    with pytest.raises(KeyError, match="refused"):
        asked.submit(toys.job(), "#!", toys.cluster())


def test_what_is_no_handle_is_not_journalled(tmp_path: Path) -> None:
    journal, plugins = Journal(tmp_path), Plugins()
    journal.add(Entry(toys.HANDLE.job, "simulate", "here", {}, "call", {}, "me"))
    plugins.register_innermost(Innermost(journal), "journal")
    plugins.register(toys.backend("toy", more="@hookimpl\ndef submit(job): return 17"), "toy")
    with pytest.raises(PluginError, match=r"'submit' of the backend 'toy' answered 17"):
        Dispatch(plugins).submit(toys.job(), "#!", toys.cluster())
    assert journal.get(toys.HANDLE.job).handle is None
    journal.close()


PROMISED = {
    "check": lambda asked, cluster: asked.check(cluster),
    "render_script": lambda asked, cluster: asked.render_script(toys.job(), cluster),
    "submit": lambda asked, cluster: asked.submit(toys.job(), "#!", cluster),
    "status": lambda asked, cluster: asked.status([toys.HANDLE], cluster),
    "fetch": lambda asked, cluster: asked.fetch([toys.HANDLE], Path("/nowhere"), cluster),
    "logs": lambda asked, cluster: asked.logs(toys.HANDLE, cluster),
}


@pytest.mark.parametrize("answer", ["None", "3"])
@pytest.mark.parametrize("hook", sorted(PROMISED))
def test_a_hook_that_promises_a_value_must_give_one(hook: str, answer: str) -> None:
    asked = dispatch(toys.backend("toy", more=f"@hookimpl\ndef {hook}(cluster): return {answer}"))
    with pytest.raises(PluginError) as raised:
        PROMISED[hook](asked, toys.cluster())
    assert f"'{hook}' of the backend 'toy' answered {answer}" in str(raised.value)
    assert (raised.value.plugin, raised.value.cluster) == ("toy", "here")


@pytest.mark.parametrize("hook", [*sorted(PROMISED), "find"])
def test_a_wrapper_that_swallows_the_answer_is_found_out(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    """Believed, a `find` that was swallowed would mean a second job."""
    source = toys.HEAD + f"\n@hookimpl(wrapper=True)\ndef {hook}(cluster):\n    yield\n"
    more = "@hookimpl\ndef find(job, cluster): return JobHandle(job.id, job.name, 'toy-1')\n"
    ask = {**PROMISED, "find": lambda asked, cluster: asked.find(toys.job(), cluster)}[hook]
    quiet, careless = toys.backend("toy", more=more), toys.module("careless", source)
    assert ask(dispatch(quiet, careless), toys.cluster()) == ask(dispatch(quiet), toys.cluster())
    assert f"here: a wrapper of {hook} returned None: it ends with `return (yield)`" in caplog.text


def test_find_cancel_and_release_may_answer_nothing() -> None:
    asked = dispatch(toys.backend("toy"))
    assert asked.find(toys.job(), toys.cluster()) is None
    asked.cancel([toys.HANDLE], toys.cluster())
    asked.release(toys.cluster())


def test_find_may_not_answer_nonsense() -> None:
    asked = dispatch(toys.backend("toy", more="@hookimpl\ndef find(job): return 'toy-1'"))
    with pytest.raises(PluginError, match="answered 'toy-1'"):
        asked.find(toys.job(), toys.cluster())


def test_a_backend_without_machines_is_ready_as_it_is() -> None:
    cluster = toys.cluster()
    assert dispatch(toys.backend("toy")).provision(cluster) is cluster


def test_provision_may_not_answer_nonsense() -> None:
    asked = dispatch(toys.backend("toy", more="@hookimpl\ndef provision(cluster): return cluster.name"))
    with pytest.raises(PluginError, match="answered 'here'"):
        asked.provision(toys.cluster())


def test_a_backend_that_only_provisions_hands_over() -> None:
    cloud = toys.module("clustrix_eks", toys.MACHINES.format(backend="eks", over="toy"))
    asked = dispatch(cloud, toys.backend("toy"))
    ready = asked.provision(toys.cluster("eks"))
    assert ready.backend == "toy"
    assert asked.submit(toys.job(), "#!", ready).native == "toy-1"
    asked.release(toys.cluster("eks"))
    assert cloud.events == ["release"]


@pytest.mark.parametrize("hook", ["status", "fetch"])
@pytest.mark.parametrize("answer", ["{}", "{handle.job: None for handle in handles}"])
def test_a_job_that_is_left_out_is_not_waited_for(hook: str, answer: str) -> None:
    asked = dispatch(toys.backend("toy", more=f"@hookimpl\ndef {hook}(handles): return {answer}"))
    with pytest.raises(PluginError, match=f"'{hook}' of the backend 'toy' left out {toys.HANDLE.job}"):
        PROMISED[hook](asked, toys.cluster())


def test_errors_of_ours_say_where_and_keep_what_they_know() -> None:
    more = "from clustrix_core.errors import *\n@hookimpl\ndef submit(): raise SubmitRejected('no such partition'{})\n"
    with pytest.raises(SubmitRejected) as raised:
        dispatch(toys.backend("toy", more=more.format(""))).submit(toys.job(), "#!", toys.cluster())
    assert str(raised.value) == "[here] no such partition" and raised.value.plugin == "toy"
    with pytest.raises(SubmitRejected) as raised:
        dispatch(toys.backend("toy", more=more.format(", cluster='there'"))).submit(toys.job(), "#!", toys.cluster())
    assert raised.value.cluster == "there"


def test_errors_of_others_pass_as_they_are() -> None:
    more = "@hookimpl\ndef submit(): raise KeyError('theirs')\n"
    with pytest.raises(KeyError, match="theirs"):
        dispatch(toys.backend("toy", more=more)).submit(toys.job(), "#!", toys.cluster())


LISTENER = (
    toys.HEAD
    + """
@hookimpl
def job_changed(handle, before, after, cluster):
    events.append((handle.job, before.state.value, after.state.value, cluster.name))

@hookimpl
def register_commands(cli):
    events.append(cli)
"""
)
DEAF = (
    toys.HEAD
    + """
@hookimpl(tryfirst=True)
def job_changed():
    raise ValueError("I raise")

@hookimpl
def register_commands():
    raise ValueError("I raise too")
"""
)


def test_a_listener_that_raises_costs_nobody_else_anything(caplog: pytest.LogCaptureFixture) -> None:
    first, last = toys.module("clustrix_first", LISTENER), toys.module("clustrix_last", LISTENER)
    asked = dispatch(first, toys.backend("toy"), toys.module("clustrix_deaf", DEAF), last)
    with caplog.at_level(logging.ERROR):
        asked.job_changed(toys.HANDLE, toys.RUNNING, JobStatus(JobState.SUCCEEDED), toys.cluster())
        asked.register_commands("a click.Group")
    heard = [(toys.HANDLE.job, "RUNNING", "SUCCEEDED", "here"), "a click.Group"]
    assert [first.events, last.events] == [heard, heard]
    assert [record.getMessage() for record in caplog.records] == [
        "plugin 'deaf': job_changed raised",
        "plugin 'deaf': register_commands raised",
    ]
    assert "I raise too" in caplog.text


def test_listeners_hear_of_the_jobs_of_every_backend() -> None:
    listener = toys.module("clustrix_first", LISTENER)
    asked = dispatch(toys.backend("one"), toys.backend("two", more=LISTENER.replace(toys.HEAD, "")), listener)
    asked.job_changed(toys.HANDLE, toys.RUNNING, toys.RUNNING, toys.cluster("one"))
    theirs = asked.plugins.manager.get_plugin("two")
    assert isinstance(theirs, ModuleType)
    assert len(listener.events) == len(theirs.events) == 1


def test_the_root_of_the_tree_is_caught_too() -> None:
    more = "from clustrix_core.errors import *\n@hookimpl\ndef cancel(): raise ClustrixError('odd')\n"
    with pytest.raises(ClustrixError, match=r"\[here\] odd"):
        dispatch(toys.backend("toy", more=more)).cancel([JobHandle("a", "b", "c")], toys.cluster())
