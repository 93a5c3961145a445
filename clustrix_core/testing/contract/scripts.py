"""The script of a job: the same text for the same job, and nothing in it that somebody slipped in."""

from __future__ import annotations

import difflib
import inspect
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import bundle, options
from clustrix_core.dispatch import Dispatch
from clustrix_core.errors import ConfigError
from clustrix_core.model import BackendInfo, Cluster, JobSpec
from clustrix_core.options import Origin
from clustrix_core.options.setting import members
from clustrix_core.plugins import Plugins
from clustrix_core.resources import Resources
from clustrix_core.testing.contract.subject import Subject
from clustrix_core.testing.contract.watch import watched
from clustrix_core.testing.transports import FakeTransport

GB = 2**30
EVIL = (
    "two\nlines", "a\r\nb", "a\rb", "a\x0bb", "a\u2028b", "a\n#! /bin/sh", "a\\\nb", "--x=y\n--z",
    "$(touch here)", "`touch here`", "; touch here", "| touch here", "' ; touch here '", '" ; touch here "',
    "-x", "# a", "\x1b[31m", "\u2603 \u00e9", "$HOME", "%a", "{0}",
)  # fmt: skip
FULL: Mapping[str, Any] = {
    "cores": 4,
    "memory": 3 * GB // 2,
    "time": 5400,
    "gpus": 2,
    "nodes": 2,
    "partition": "short",
    "account": "physics",
    "qos": "high",
    "constraint": "intel",
    "exclusive": True,
    "modules": ("gcc/12.2.0", "openmpi"),
    "env": {"OMP_NUM_THREADS": "4", "MESSAGE": "it's $HOME\nand more"},
    "setup": ("source ~/venv/bin/activate", "ulimit -c 0"),
    "teardown": ("rm -rf /tmp/ada",),
}


class ScriptContract(Subject):
    """Promises of ``render_script``: no cluster is needed."""

    def job(self, resources: Resources | None = None, label: str = "simulate", **changes: Any) -> JobSpec:
        """Return a job whose script does not change from run to run."""
        return JobSpec("0123456789abcdef", label, resources or Resources(), **changes)

    def place(self, info: BackendInfo, **given: Any) -> Cluster:
        """Return a cluster of this backend that cannot be reached; ``given`` are options of the backend."""
        typed: Any = options.build(info.options, {**self.options, **given}, Origin())
        return Cluster("hpc", info.name, typed, FakeTransport(), "/scratch/ada")

    def scripts(self, info: BackendInfo) -> Mapping[str, tuple[JobSpec, Cluster]]:
        """Return the golden scripts by name. Override it to add those that only this backend has::

        return {**super().scripts(info), "reserved": (self.job(), self.place(info, reservation="maint"))}
        """
        asked = {**FULL, "directives": tuple(self.directives), **self.full}
        full = {name: value for name, value in asked.items() if name not in info.lacks and value is not None}
        here = self.place(info)
        return {
            "minimal": (self.job(), here),
            "full": (self.job(Resources(**full), walltime=5400), here),
            "array": (self.job(calls=24, tasks=24, max_parallel=8), here),
            "wide-array": (self.job(Resources(cores=2, memory=GB), calls=24, tasks=3, width=8, walltime=90061), here),
            "follow-up": (self.job(calls=24, tasks=2, round=3), here),
            "after": (self.job(after={"00000000000000aa": "4711", "00000000000000bb": ""}), here),
        }

    @pytest.fixture
    def written(self, info: BackendInfo, plugins: Plugins) -> Mapping[str, str]:
        """The golden scripts, as the plugin writes them now."""
        return dict(self._written(info, plugins))

    def _written(self, info: BackendInfo, plugins: Plugins) -> Iterator[tuple[str, str]]:
        for name, case in self.scripts(info).items():
            try:
                yield name, self.render(plugins, *case)
            except ConfigError as error:
                raise AssertionError(
                    f"the golden script {name!r} cannot be written: {error}\n"
                    "Where the scheduler knows no such thing, say so in BackendInfo(lacks=…), or in the class what it "
                    "takes instead: full = {'constraint': None}, directives = ('…',)"
                ) from error

    def render(self, plugins: Plugins, job: JobSpec, cluster: Cluster) -> str:
        return Dispatch(plugins).render_script(job, cluster)

    def test_scripts_are_as_they_were(self, written: Mapping[str, str], request: pytest.FixtureRequest) -> None:
        """Each script equals its golden file: what a change does to scripts is read before it is published."""
        folder = self.golden or Path(inspect.getfile(type(self))).parent / "golden"
        accept = request.config.getoption("--clustrix-accept") or os.environ.get("CLUSTRIX_ACCEPT") == "1"
        for name, script in written.items():
            # The worker's directory is named after its contents, which change with every version.
            text, file = script.replace(bundle.digest(), "WORKER"), folder / f"{name}.sh"
            if accept:
                folder.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
            before = file.read_text("utf-8") if file.exists() else ""
            changed = "\n".join(
                difflib.unified_diff(before.splitlines(), text.splitlines(), str(file), "now", lineterm="")
            )
            assert text == before, (
                f"{changed}\nIf that is meant: `pytest --clustrix-accept` (or CLUSTRIX_ACCEPT=1) writes {file} anew; "
                "read the difference before you commit it."
            )
        over = sorted(path.name for path in folder.glob("*.sh") if path.stem not in written)
        assert over == [], f"{', '.join(over)} in {folder}: nobody writes them any more, remove them"

    def test_rendering_is_pure(self, info: BackendInfo, plugins: Plugins, written: Mapping[str, str]) -> None:
        """``render_script`` returns the same text for the same job, runs nothing and reads no file."""
        for name, (job, cluster) in self.scripts(info).items():
            with watched() as did:
                again = self.render(plugins, job, cluster)
            assert again == written[name], f"the script {name!r} changes from call to call: no clock, no random numbers"
            assert did == [], f"render_script did {did}: leave it to `provision` or `submit`"
            assert isinstance(cluster.transport, FakeTransport) and cluster.transport.runs == 0

    def test_scripts_are_valid(self, written: Mapping[str, str]) -> None:
        """A script begins with its shell, and that shell can read it."""
        for name, script in written.items():
            assert script.startswith("#!"), f"the script {name!r} does not begin with #!, so anything may run it"
            assert script.endswith("\n") and "\r" not in script, (
                f"the script {name!r} is cut off, or has foreign line ends"
            )
            shell = script.split("\n")[0][2:].split()[0]
            if shell.rpartition("/")[2] in ("sh", "bash", "dash"):
                done = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True)
                assert done.returncode == 0, f"{shell} cannot read the script {name!r}: {done.stderr.decode()}"

    def test_a_script_names_its_job(self, written: Mapping[str, str], info: BackendInfo) -> None:
        """The job is told which it is, so that the worker finds its files wherever the script begins."""
        for name, (job, _) in self.scripts(info).items():
            assert job.id in written[name], f"the script {name!r} does not name its job {job.id}: export CLUSTRIX_JOB"

    def test_no_label_becomes_a_line(self, info: BackendInfo, plugins: Plugins) -> None:
        """A label, whatever it holds, adds no line to a script."""
        plain = self.render(plugins, self.job(label="x"), self.place(info))
        for label in EVIL:
            found = self.render(plugins, self.job(label=label), self.place(info))
            assert _lines(found) == _lines(plain), _more("label", label, found, plain, "use job.name, never job.label")

    def test_no_directive_becomes_another_line(self, info: BackendInfo, plugins: Plugins) -> None:
        """A raw directive is one line of the head, or refused by a ConfigError."""
        plain = self.render(plugins, self.job(), self.place(info))
        for text in [*EVIL, *(f"{line} {text}" for line in self.directives for text in EVIL)]:
            for found in _accepted(lambda text=text: self.render(
                plugins, self.job(Resources(directives=(text,))), self.place(info)
            )):  # fmt: skip
                assert _lines(found) - _lines(plain) <= 1, _more(
                    "directive", text, found, plain, "refuse what is not printable"
                )

    def test_no_option_becomes_a_line(self, info: BackendInfo, plugins: Plugins) -> None:
        """Text in an option of the backend is one word of a script, or refused by a ConfigError."""
        for name, setting in options.settings(info.options).items():
            if str not in members(setting.type):
                continue
            harmless = [*_accepted(lambda name=name: self.render(plugins, self.job(), self.place(info, **{name: "x"})))]
            plain = harmless[0] if harmless else self.render(plugins, self.job(), self.place(info))
            for text in EVIL:
                for found in _accepted(lambda name=name, text=text: self.render(
                    plugins, self.job(), self.place(info, **{name: text})
                )):  # fmt: skip
                    assert _lines(found) == _lines(plain), _more(
                        f"option {name}", text, found, plain, "check or quote it"
                    )


def _accepted(render: Any) -> Iterator[str]:
    """Yield a script, unless what it was asked for is refused."""
    try:
        yield render()
    except ConfigError:
        return


def _lines(script: str) -> int:
    return len(script.splitlines())


def _more(what: str, text: str, found: str, plain: str, hint: str) -> str:
    changed = "\n".join(difflib.unified_diff(plain.splitlines(), found.splitlines(), lineterm="", n=0))
    return f"the {what} {text!r} became a line of its own: {hint}\n{changed}"
