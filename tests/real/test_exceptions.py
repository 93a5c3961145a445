"""Exceptions come back as themselves, with their chain and with where they were raised; output is in the logs."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import ClusterConfig, JobFailed, RemoteError, cluster
from clustrix.config import configure
from tests.real.conftest import OTHER_WAYS

HERE = Path(__file__)


class MyError(Exception):
    pass


class TwoArguments(Exception):
    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what} ({code})")
        self.code, self.what = code, what


class KeywordOnly(ValueError):
    def __init__(self, *, limit: float) -> None:
        super().__init__("over the limit")
        self.limit = limit


class NoSuper(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"value {self.value}"


class Slotted(Exception):
    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place


class Stubborn(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("I will not be pickled")


class HoldsALock(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


def fail(error: BaseException) -> None:
    raise error


def same(error: BaseException) -> Any:
    return type(error), error.args, {k: v for k, v in vars(error).items() if k not in ("remote_traceback", "__notes__")}


def test_exceptions_come_back_as_themselves(there: ClusterConfig) -> None:
    errors = [
        MyError("mine", 1),
        MyError(),
        TwoArguments(3, "größe"),
        KeywordOnly(limit=2.5),
        NoSuper([1]),
        KeyError("key"),
        FileNotFoundError(2, "No such file", "/scratch/größe"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(7),
        TimeoutError("the function's own"),
        AssertionError(),
        ImportError("no", name="module_x", path="/p"),
        SyntaxError("bad", ("file.py", 3, 4, "x = = 1")),
        clustrix.ConfigError("ours", hint="as a value"),
        RecursionError(),
        MemoryError("enough"),
        Slotted("here"),
    ]
    found = list(cluster(fail).options(return_exceptions=True).map(errors))
    assert [same(error) for error in found] == [same(error) for error in errors]
    for here, came in zip(errors, found, strict=True):
        assert str(came) == str(here)
    assert (found[6].errno, found[6].filename, found[11].name) == (2, "/scratch/größe", "module_x")

    assert found[-1].place == "here"
    with pytest.raises(KeywordOnly) as one:
        cluster(fail)(KeywordOnly(limit=1))
    assert one.value.limit == 1 and isinstance(one.value, ValueError)


def in_a_class_of_the_function() -> tuple[Any, Callable[[], None]]:
    class Local(Exception):
        pass

    def raises() -> None:
        raise Local("x")

    return Local, raises


def test_a_class_inside_a_function_is_the_same_class(there: ClusterConfig) -> None:
    Local, raises = in_a_class_of_the_function()
    with pytest.raises(Local):
        cluster(raises)()


def chained(how: str) -> None:
    if how == "from":
        try:
            raise KeyError("root")
        except KeyError as error:
            raise MyError("top") from error
    if how == "context":
        try:
            raise KeyError("root")
        except KeyError:
            raise MyError("top")  # noqa: B904
    if how == "none":
        try:
            raise KeyError("root")
        except KeyError:
            raise MyError("top") from None
    if how == "long":
        try:
            chained("from")
        except MyError:
            try:
                raise TwoArguments(1, "cleaning up")
            except TwoArguments as error:
                raise KeywordOnly(limit=1) from error
    if how == "circle":
        a, b = MyError("a"), MyError("b")
        a.__cause__, b.__cause__ = b, a
        raise a
    if how == "unpicklable cause":
        raise MyError("top") from HoldsALock("deep")
    raise MyError("alone")


def test_the_whole_chain_comes_back(there: ClusterConfig) -> None:
    ways = ["alone", "from", "context", "none", "long", "circle", "unpicklable cause"]
    results = cluster(chained).options(return_exceptions=True).map(ways)
    alone, with_from, context, none, long, circle, replaced = results

    assert type(alone) is MyError and alone.__cause__ is None
    assert with_from.__suppress_context__ and same(with_from.__cause__) == (KeyError, ("root",), {})
    assert context.__cause__ is None and not context.__suppress_context__
    assert same(context.__context__) == (KeyError, ("root",), {})
    assert none.__cause__ is None and none.__suppress_context__
    assert same(none.__context__) == (KeyError, ("root",), {})
    assert type(long) is KeywordOnly and type(long.__cause__) is TwoArguments and long.__cause__.code == 1
    assert type(long.__cause__.__context__) is MyError
    assert same(long.__cause__.__context__.__cause__) == (KeyError, ("root",), {})
    assert circle.__cause__.__cause__ is circle
    assert type(replaced) is MyError and isinstance(replaced.__cause__, RemoteError)
    assert "HoldsALock" in str(replaced.__cause__) and "deep" in str(replaced.__cause__)

    assert "root" in shown(with_from) and "direct cause" in shown(with_from)
    assert "KeyError" in shown(context) and "KeyError" not in shown(none)


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text("utf-8").splitlines(), 1) if line.endswith(text))


def outer_frame(depth: int) -> float:
    return inner_frame(depth)


def inner_frame(depth: int) -> float:
    secret = 1
    return secret / depth  # the line that fails


def test_the_remote_traceback_names_the_users_lines(there: ClusterConfig) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        cluster(outer_frame)(0)
    error = raised.value
    text = error.remote_traceback  # type: ignore[attr-defined]
    number = line_of("# the line that fails")
    assert f'File "{HERE}", line {number}, in inner_frame' in text
    assert "return secret / depth" in text
    assert text.count('File "') == 2, "the user's two frames and none of ours"
    assert "in outer_frame" in text and text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert text in shown(error)
    assert error.__cause__ is None and error.args == ("division by zero",)
    if sys.version_info >= (3, 11):
        assert any(text in note for note in error.__notes__)
        assert error.__context__ is None
        assert shown(error).count("in inner_frame") == 1


def test_one_failing_call_of_a_map_has_its_traceback_too(there: ClusterConfig) -> None:
    good, bad = cluster(outer_frame).options(return_exceptions=True).map([1, 0])
    assert good == 1.0
    assert f"line {line_of('# the line that fails')}, in inner_frame" in bad.remote_traceback


def test_a_script_shows_the_traceback(client: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "größe.py").write_text(
        textwrap.dedent(
            """
            from clustrix import cluster

            class Lost(Exception):
                def __init__(self, where, *, when):
                    super().__init__(where)

            def below(x):
                raise Lost("there", when="now") from KeyError(x)

            @cluster
            def runs(x):
                return below(x)

            try:
                runs(1)
            except Lost as error:
                print("caught", error)
            runs(2)
            """
        ),
        "utf-8",
    )
    said = client("größe.py", check=False)
    assert said.startswith("caught there\n")
    tail = said[said.index("Traceback") :]
    assert f'File "{tmp_path / "größe.py"}", line 9, in below' in tail
    assert 'raise Lost("there", when="now") from KeyError(x)' in tail
    assert "KeyError: 2" in tail and "direct cause" in tail


def test_an_exception_that_cannot_be_pickled(there: ClusterConfig) -> None:
    def stubborn(cls: Any) -> None:
        raise cls("this is why")

    def opens() -> None:
        error = MyError("with a file")
        error.file = open("/dev/null")  # type: ignore[attr-defined]  # noqa: SIM115
        raise error

    for function, args, name in (
        (stubborn, [HoldsALock], "HoldsALock"),
        (opens, [], "MyError"),
    ):
        with pytest.raises(RemoteError) as raised:
            cluster(function)(*args)
        error = raised.value
        assert error.type_name.endswith(name)
        assert name in str(error)
        assert f"in {function.__name__}" in error.remote_traceback and error.remote_traceback in shown(error)
    # What has its own ideas of pickling, and they fail, still has a class, arguments and attributes.
    with pytest.raises(Stubborn, match="this is why"):
        cluster(stubborn)(Stubborn)


def ends(how: str) -> None:
    if how == "exit":
        sys.exit(3)
    if how == "exit with words":
        sys.exit("no input")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "generator":
        raise GeneratorExit


def test_what_is_no_exception_comes_back_too(there: ClusterConfig) -> None:
    ways = ["exit", "exit with words", "interrupt", "generator"]
    found = list(cluster(ends).options(return_exceptions=True).map(ways))
    assert [(type(error), error.args) for error in found] == [
        (SystemExit, (3,)),
        (SystemExit, ("no input",)),
        (KeyboardInterrupt, ()),
        (GeneratorExit, ()),
    ]
    with pytest.raises(SystemExit) as left:
        cluster(ends)("exit")
    assert left.value.code == 3
    assert cluster(ends)("not at all") is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_an_exception_group(there: ClusterConfig) -> None:
    def several() -> None:
        error = TwoArguments(1, "x")
        error.__cause__ = KeyError("why")
        raise ExceptionGroup("many", [ValueError(1), ExceptionGroup("below", [error])])  # noqa: F821

    with pytest.raises(BaseException) as raised:
        cluster(several)()
    group = raised.value
    assert type(group).__name__ == "ExceptionGroup" and group.message == "many"
    first, below = group.exceptions
    assert same(first) == (ValueError, (1,), {})
    assert type(below.exceptions[0]) is TwoArguments and below.exceptions[0].__cause__.args == ("why",)


def test_another_process_gets_the_same_exception(client: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            from clustrix import cluster

            class MineError(Exception):
                def __init__(self, code, *, why):
                    super().__init__(why)
                    self.code = code

            @cluster
            def raises():
                raise MineError(5, why="because") from ValueError("root")
            """
        )
    )
    (tmp_path / "first.py").write_text("import mine\nprint(mine.raises.submit().id)\n")
    (tmp_path / "second.py").write_text(
        textwrap.dedent(
            """
            import sys
            import clustrix
            import mine

            try:
                clustrix.get_job(sys.argv[1]).result(60)
            except mine.MineError as error:
                print(error.code, error, repr(error.__cause__), "in raises" in error.remote_traceback)
            """
        )
    )
    job = client("first.py").strip()
    for _ in range(2):  # while it may still run, and after it has ended
        assert client("second.py", job).strip() == "5 because ValueError('root') True"
    third = client("-c", f"import clustrix; print(clustrix.get_job({job[:10]!r}).exception(60).args)")
    assert third.strip() == "('because',)", "a class that is not imported here is built from what travelled along"


# -- output


def test_output_is_in_the_logs_also_while_the_job_runs(there: ClusterConfig, shared: Path) -> None:
    import os

    @cluster
    def talks(go: str) -> str:
        print("first line: 馬")
        print("to stderr", file=sys.stderr)
        os.write(1, b"from below\n")
        os.system("echo from a child")
        while not os.path.exists(go):
            time.sleep(0.05)
        print("last line", end="")
        return "done"

    go = shared / "go"
    job = talks.submit(str(go))
    end = time.monotonic() + 30
    while "from a child" not in job.logs():
        assert time.monotonic() < end, job.logs()
        time.sleep(0.2)
    early = job.logs()
    assert {"first line: 馬", "to stderr", "from below", "from a child"} <= set(early.splitlines())
    assert "last line" not in early and not job.done()
    assert job.running() or job.status().state.value == "RUNNING"
    go.touch()
    assert job.result(60) == "done"
    assert job.logs().startswith(early) and job.logs().endswith("last line")
    assert clustrix.get_job(job.id).logs() == job.logs()


def test_the_log_of_a_job_that_raised_shows_what_it_printed(there: ClusterConfig) -> None:
    @cluster
    def fails() -> None:
        print("before the end")
        raise MyError("x")

    job = fails.submit()
    assert type(job.exception(60)) is MyError
    assert "before the end" in job.logs()


def test_a_long_log_comes_whole(there: ClusterConfig) -> None:
    lines = 60_000

    @cluster
    def much() -> None:
        for number in range(lines):
            print(f"zeile {number} größe 馬")

    job = much.submit()
    job.result(60)
    assert job.logs().splitlines() == [f"zeile {number} größe 馬" for number in range(lines)]


def test_a_job_that_dies_shows_the_end_of_its_log(there: ClusterConfig) -> None:
    @cluster
    def dies() -> None:
        import os

        print("the last words")
        os.kill(os.getpid(), 9)

    with pytest.raises(JobFailed) as raised:
        dies()
    assert "the last words" in raised.value.log and "the last words" in str(raised.value)
    assert "signal 9" in raised.value.reason or "SIGKILL" in raised.value.reason
    assert raised.value.job


def test_a_failing_setup_line_is_shown(there: ClusterConfig) -> None:
    configure(resources={"setup": ["echo preparing; echo problem >&2; false"]})
    with pytest.raises(JobFailed) as raised:
        cluster(fail)(MyError())
    assert "problem" in raised.value.log
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("place", OTHER_WAYS, scope="session")
def test_other_ways(there: ClusterConfig) -> None:
    with pytest.raises(TwoArguments) as raised:
        cluster(fail)(TwoArguments(3, "x"))
    assert raised.value.code == 3 and "in fail" in raised.value.remote_traceback
