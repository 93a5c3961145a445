"""Fake programs: they note how they were called, and answer what they were told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# What was called, how and with what on stdin is kept in a numbered directory per call; mkdir makes numbers unique.
PROGRAM = """#!/bin/sh
n=1; while ! mkdir "{calls}/$n" 2>/dev/null; do n=$((n+1)); done
printf '%s\\0' "${{0##*/}}" "$@" >"{calls}/$n/argv"
pwd >"{calls}/$n/cwd"
[ -t 0 ] || cat >"{calls}/$n/stdin"
answer="{answers}/${{0##*/}}"
cat "$answer.err" >&2; cat "$answer.out"
exit "$(cat "$answer.rc")"
"""


@dataclass(frozen=True)
class Call:
    """One call of a fake program."""

    argv: tuple[str, ...]
    stdin: str
    cwd: str


class Programs:
    """Programs in a directory of their own, ``bin``, which a test puts first on PATH."""

    def __init__(self, house: Path, names: Sequence[str] = ()) -> None:
        self.bin, self._calls, self._answers = house / "bin", house / "calls", house / "answers"
        for directory in (self.bin, self._calls, self._answers):
            directory.mkdir(parents=True)
        for name in names:
            self.answer(name)

    def answer(self, name: str, out: str = "", err: str = "", rc: int = 0) -> None:
        """Say what a program answers from now on; it is made where there is none."""
        for kind, text in (("out", out), ("err", err), ("rc", str(rc))):
            (self._answers / f"{name}.{kind}").write_text(text, "utf-8")
        if not (self.bin / name).exists():
            program = self.bin / name
            program.write_text(PROGRAM.format(calls=self._calls, answers=self._answers))
            program.chmod(0o755)

    def remove(self, name: str) -> None:
        """Take a program away again."""
        (self.bin / name).unlink()

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in their order."""
        found = sorted((int(path.name), path) for path in self._calls.iterdir())
        return [
            Call(
                tuple((path / "argv").read_text().split("\0")[:-1]),
                (path / "stdin").read_text() if (path / "stdin").exists() else "",
                (path / "cwd").read_text().strip("\n"),
            )
            for _, path in found
        ]

    @property
    def names(self) -> list[str]:
        """The names of the programs that were called, in the order of the calls."""
        return [call.argv[0] for call in self.calls]
