"""Job directories as the client lays them out, the worker's bundle beside them, and the interpreters found here."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from clustrix_core.worker import blobs, bundle, parts, payloads, pickling, records
from clustrix_core.worker.parts import Parts

KEY = "ab" * 32


@functools.cache
def interpreters() -> dict[str, str]:
    """Return one interpreter of each minor version from 3.6 on, by version."""
    found: dict[str, str] = {}
    places = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    names = [f"python3.{minor}" for minor in range(6, 16)]
    paths = [str(path) for path in places] + [path for path in map(shutil.which, ["python3", *names]) if path]
    for path in [sys.executable, *paths, "/usr/bin/python3"]:
        if not os.path.exists(path):
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        said = subprocess.run([path, "-c", code], capture_output=True, text=True)
        if said.returncode == 0:
            found.setdefault(said.stdout.strip(), path)
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


@functools.cache
def unpacked() -> Path:
    """Unpack the bundle once for all tests, so that it is compiled once."""
    place = Path(tempfile.mkdtemp(prefix="clustrix-bundle-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name, content in bundle.files().items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return place


def install(work_dir: Path) -> Path:
    """Put the bundle under ``work_dir``, where the client puts it."""
    place = work_dir / "worker" / bundle.digest()
    if not place.exists():
        place.parent.mkdir(parents=True)
        place.symlink_to(unpacked())
    return place


class JobDir:
    """A job as the client stages it."""

    def __init__(self, work_dir: Path, job: str = "0badc0de", **spec: Any) -> None:
        self.work_dir = work_dir
        self.id = job
        self.path = work_dir / "jobs" / job[:2] / job
        self.path.mkdir(parents=True)
        self.bundle = install(work_dir)
        self.spec: dict[str, Any] = {
            "id": job,
            "name": f"test-{job}",
            "function": "tests.function",
            "calls": 1,
            "tasks": 1,
            "width": 1,
            "cores": 1,
            "memory": None,
            "time": None,
            "walltime": None,
            "chunk": None,
            "cwd": str(work_dir),
            "clustrix": "0.0.0",
            **spec,
        }
        (self.path / "claims-0").mkdir()
        (self.path / "key").write_text(KEY)

    def write_spec(self) -> None:
        (self.path / "spec.json").write_text(json.dumps(self.spec))

    def function(self, function: Any, calls: Iterable[Any] = ((),), constants: Any = None, **header: Any) -> JobDir:
        """Pack a function and the arguments of its calls."""
        packed = (pickling.dump((args, {})) for args in calls)
        return self.pack(pickling.dump(function), packed, pickling.dump(constants or {}), **header)

    def pack(self, function: Parts, calls: Iterable[Parts], constants: Parts | None = None, **header: Any) -> JobDir:
        with (self.path / "payload").open("wb") as file:
            self.spec["calls"] = payloads.write(file, {"kind": "pickle", **header}, function, calls, constants)
        self.write_spec()
        return self

    def command(self, line: str) -> JobDir:
        """Make it a shell command."""
        return self.pack(Parts(), [Parts()], kind="command", command=line)

    def script(self, text: str, round: int = 0) -> JobDir:
        (self.path / f"job-{round}.sh").write_text(text)
        return self

    def argv(self, *words: object, python: str = sys.executable) -> list[str]:
        return [python, "-W", "error", str(self.bundle), *map(str, words)]

    def start(
        self, task: int = 0, round: int = 0, python: str = sys.executable, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a task as the job script does."""
        env = {**os.environ, "CLUSTRIX_SCHEDULER_ID": "77", **options.pop("env", {})}
        argv = self.argv("run", round, task, python=python)
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=self.path, env=env, stdout=pipe, stderr=pipe, text=True, **options)

    def run(self, task: int = 0, round: int = 0, python: str = sys.executable, **options: Any) -> tuple[int, str, str]:
        """Run a task to its end; return exit code, stdout and stderr."""
        process = self.start(task, round, python, **options)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def records(self) -> list[dict[str, Any]]:
        """Return the headers of all records, checked, with their unpickled body as ``body``."""
        signer = records.Signer(bytes.fromhex(KEY), self.id)
        found = []
        for path in sorted(self.path.glob("results-*")):
            with path.open("rb") as file:
                for record in records.read_all(file, 0, signer):
                    assert record.header["run"] == path.name[len("results-") :]
                    found.append({**record.header, "body": body(file, record, str(self.path))})
        return found

    def ends(self) -> list[dict[str, Any]]:
        """Return the records that end a call, in the order of the calls."""
        return sorted((r for r in self.records() if r["kind"] != "claimed"), key=lambda r: int(r["call"]))

    def only(self) -> dict[str, Any]:
        """Return the only record that ends a call."""
        (record,) = self.ends()
        return record

    def values(self) -> dict[int, Any]:
        """Return the values by call; a call that was made twice fails."""
        ends = self.ends()
        assert len({record["call"] for record in ends}) == len(ends), "a call was made twice"
        return {record["call"]: record["body"] for record in ends if record["kind"] == "value"}


def body(file: Any, record: records.Record, directory: str) -> Any:
    if record.header["kind"] == "json":
        file.seek(record.offset)
        return json.loads(file.read(sum(record.sizes)))
    if not record.sizes:
        return None
    return pickling.load(file, parts.places(record.offset, record.sizes), blobs.Shelf(directory))


def by_value(source: str, name: str = "f", module: str = "__main__") -> Any:
    """Return a function of a module that exists nowhere else, as a script's ``__main__`` does for the worker."""
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(source, f"/home/ada/{module.strip('_')}.py", "exec"), namespace)
    return namespace[name]


def each(path: Sequence[Any]) -> list[tuple[Any]]:
    return [(item,) for item in path]
