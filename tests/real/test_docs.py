"""The pages that newcomers follow, followed to the letter; and the examples.

Every block of these pages is run, in order, in an empty directory with an empty home:
a block that begins with ``# NAME`` is a file of that name, python or yaml; in a console block ``$ COMMAND`` is run and
must succeed, or end with the code that a following ``$ echo $?`` shows. Lines below a command are what it prints: there
``…`` is anything (alone on a line: any lines), a duration any duration, an id any id and from then on that one.
All other blocks say ``not run: WHY`` behind the language.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.testbeds.bed import Bed

ROOT = Path(__file__).resolve().parents[2]
ON_A_BED = (
    ("slurm", "docs/quickstart.md"),
    ("slurm", "docs/tutorials/ssh.md"),
    ("slurm", "docs/tutorials/slurm.md"),
    ("slurm", "docs/tutorials/files.md"),
    ("pbs", "docs/tutorials/pbs.md"),
    ("sge", "docs/tutorials/sge.md"),
)
# The hosts of the tutorials, and what they are on the beds.
HOSTS = {
    "testcluster": "login.hpc.example desk.lab.example",
    "testjump": "inner.lab.example",
    "testpbs": "login.hpc.example",
    "testgrid": "login.hpc.example",
}
EXAMPLES = {
    "scan.py": "Wrote scan.csv: 50 epidemics.",
    "bootstrap.py": "…\nlie between 863.0 and 951.5. …",
    "checkpoints.py": "π is about 3.14…; begun at 0 million throws.",
}

FENCE = re.compile(r"^```(\w*)(?: not run: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.-]+\.(?:py|yml))\n")
ID = r"\b[0-9a-f]{16}\b"
TOOK = r"\b(?:\d+ (?:d|h|min)(?: \d+ (?:h|min|s))?|\d+ s)\b"
TOKEN = re.compile(rf"(?P<lines>^…\n)|(?P<rest>…)|(?P<id>{ID})|(?P<took>{TOOK})|(?P<space>[ \t]+)", re.MULTILINE)
ANY = {"lines": r"(?:.*\n)*?", "rest": ".*?", "took": TOOK, "space": r"[ \t]+"}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, why it is not run, and its text."""

    place: str
    language: str
    why_not: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    text = (ROOT / page).read_text("utf-8")
    found = list(FENCE.finditer(text))
    assert len(re.findall("^```", text, re.MULTILINE)) == 2 * len(found), f"{page}: a fence that cannot be read"
    for match in found:
        yield Block(f"{page}:{text.count(chr(10), 0, match.start()) + 1}", *match.groups())


def commands(block: Block) -> Iterator[tuple[str, str, int]]:
    """Yield each command of a console block, what it prints (empty: not shown) and its exit code."""
    first, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first, f"{block.place}: does not begin with a command"
    found = [part.partition("\n")[::2] for part in parts]
    for (command, shown), (then, code) in zip(found, [*found[1:], ("", "")], strict=True):
        if command != "echo $?":
            yield command, shown, int(code) if then == "echo $?" else 0


@dataclass
class Newcomer:
    """Somebody in an empty directory who does what a page says. ``ids``: what the ids of the page are in truth."""

    root: Path
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "work", "bin"):
            (self.root / name).mkdir()

    def follow(self, page: str) -> None:
        """Write the files and run the commands of a page."""
        for block in blocks(page):
            if block.why_not is None and block.language == "console":
                for command, shown, code in commands(block):
                    self.run(block.place, command, shown, code)
            elif block.why_not is None:
                named = FILE.match(block.text)
                assert named, f"{block.place}: no console and no named file; else say ```{block.language} not run: …"
                (self.root / "work" / named[1]).write_text(block.text, "utf-8")

    def run(self, place: str, command: str, shown: str, code: int = 0) -> None:
        """Run a command and compare what it prints with what is shown."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTRIX")}
        path = os.pathsep.join([str(self.root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", re.sub(r"\b[0-9a-f]{4,16}\b", self._true_id, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            cwd=self.root / "work",
            env={**environment, "HOME": str(self.root / "home"), "PATH": path, "PYTHONUTF8": "1"},
            timeout=90,
        )
        said = f"{place}: {command}\nexit code {done.returncode}\n{done.stdout}"
        assert done.returncode == code, said
        if shown:
            match = re.fullmatch(self._pattern(shown.rstrip() + "\n"), done.stdout.rstrip() + "\n")
            assert match, f"{said}--- and not, as the page shows ---\n{shown}"
            self.ids |= {name.removeprefix("id_"): value for name, value in match.groupdict().items()}

    def _true_id(self, word: re.Match[str]) -> str:
        true = [there for shown, there in self.ids.items() if shown.startswith(word[0])]
        return true[0][: len(word[0])] if len(true) == 1 else word[0]

    def _pattern(self, shown: str) -> str:
        pattern, at = "", 0
        for token in TOKEN.finditer(shown):
            id, any = token["id"], ANY.get(token.lastgroup or "")
            known = self.ids.get(id) or (f"(?P=id_{id})" if f"<id_{id}>" in pattern else f"(?P<id_{id}>{ID})")
            pattern += re.escape(shown[at : token.start()]) + (any or known)
            at = token.end()
        return pattern + re.escape(shown[at:])


pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        "docs/tutorials/local.md",
        "docs/tutorials/pipelines.md",
        "docs/tutorials/checkpoints.md",
        "docs/environments.md",
        "docs/data.md",
        "docs/what-travels.md",
    ],
)
def test_page_of_this_machine(page: str, newcomer: Newcomer) -> None:
    newcomer.follow(page)


@pytest.mark.parametrize(("place", "page"), ON_A_BED, indirect=["place"])
def test_page_of_a_cluster(page: str, newcomer: Newcomer, bed: Bed) -> None:
    # ssh looks for ~ in /etc/passwd, not in $HOME: it has to be told which configuration is the newcomer's.
    config, ssh = newcomer.root / "home/ssh_config", newcomer.root / "bin/ssh"
    hosts = re.compile(rf"^Host ({'|'.join(HOSTS)})$", re.MULTILINE)
    config.write_text(hosts.sub(lambda match: f"{match[0]} {HOSTS[match[1]]}", bed.ssh_config.read_text()))
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    ssh.chmod(0o755)
    newcomer.follow(page)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, newcomer: Newcomer) -> None:
    newcomer.run("examples", f"python {ROOT / 'examples' / name} local", EXAMPLES[name])
