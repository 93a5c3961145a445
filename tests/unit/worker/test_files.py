"""The nine file functions on a real file system, on every interpreter found here; and their answers to a client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import errors
from clustrix_core.api.files import _READ, MOST, _Answer
from clustrix_core.worker import files, lookup
from tests.unit.worker.jobdir import interpreters, unpacked

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
ODD = ["é☃.csv".encode(), b"caf\xe9.csv", b"\xff\xfe\x80.csv"]  # the last two are not UTF-8
CASES: list[tuple[str, dict[str, str]]] = [
    ("cluster_ls", {}),
    ("cluster_ls", {"path": "data"}),
    ("cluster_ls", {"path": "~/data/deep"}),
    ("cluster_ls", {"path": "nowhere"}),
    ("cluster_ls", {"path": "data/a.csv"}),
    ("cluster_find", {"pattern": "*.csv"}),
    ("cluster_find", {"pattern": "*.csv", "path": "data"}),
    ("cluster_find", {"pattern": "d*/*.csv"}),
    ("cluster_find", {"pattern": "*", "path": "nowhere"}),
    ("cluster_stat", {"path": "data/a.csv"}),
    ("cluster_stat", {"path": "data/"}),
    ("cluster_stat", {"path": "nowhere"}),
    ("cluster_exists", {"path": "data/broken"}),
    ("cluster_exists", {"path": "data"}),
    ("cluster_isdir", {"path": "data/circle"}),
    ("cluster_isfile", {"path": "data/link.csv"}),
    ("cluster_isfile", {"path": "data"}),
    ("cluster_glob", {"pattern": "*/*.csv"}),
    ("cluster_glob", {"pattern": "data/.*"}),
    ("cluster_glob", {"pattern": "*", "path": "data"}),
    ("cluster_glob", {"pattern": "deep/b.csv", "path": "data"}),
    ("cluster_glob", {"pattern": "x", "path": "nowhere"}),
    ("cluster_du", {"path": "data"}),
    ("cluster_du", {}),
    ("cluster_count_files", {"path": "data"}),
    ("cluster_count_files", {"path": "data", "pattern": "*.csv"}),
]
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from clustrix_core.worker import files
for name, arguments in json.loads(sys.argv[2]):
    try:
        said = getattr(files, name)(**arguments)
    except Exception as error:
        said = [type(error).__name__, getattr(error, "filename", None)]
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory with all that is odd in one: circles, broken links, names that are no text."""
    root = tmp_path_factory.mktemp("home")
    deep = root / "data" / "deep" / "er"
    deep.mkdir(parents=True)
    for path, size in (("data/a.csv", 3), ("data/deep/b.csv", 5), ("data/deep/er/c.txt", 7), ("data/.hidden", 11)):
        (root / path).write_bytes(b"x" * size)
    for name in ODD:
        (Path(os.fsdecode(os.fsencode(root / "data") + b"/" + name))).write_bytes(b"y" * 13)
    (root / "data" / "link.csv").symlink_to("a.csv")
    (root / "data" / "broken").symlink_to("nowhere")
    (root / "data" / "circle").symlink_to("..")
    (root / "data" / "itself").symlink_to("itself")
    os.mkfifo(root / "data" / "fifo")
    (root / "data" / "a.csv").chmod(0o640)
    os.utime(root / "data" / "a.csv", (1e9, 1e9))
    return root


def told(python: str, tree: Path) -> list[Any]:
    """Return what the functions say under an interpreter, in the tree."""
    argv = [python, "-W", "error", "-c", SCRIPT, str(unpacked()), json.dumps(CASES)]
    env = {**os.environ, "HOME": str(tree), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, cwd=tree, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def answered(python: str, tree: Path, name: str, env: dict[str, str] | None = None, **arguments: str) -> Any:
    """Ask as a client does, through a pipe, and read the answer as it does."""
    question = json.dumps({"ask": name, "arguments": arguments, "cwd": None}).encode()
    argv = [python, "-W", "error", str(unpacked()), "files"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    env = {**plain, "HOME": str(tree), **(env or {})}
    done = subprocess.run(argv, input=question, cwd="/", env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    answer = _Answer("hpc")
    answer.feed(done.stdout)
    return _READ[name](answer.values())


CSV = [os.fsdecode(name) for name in ODD]
DATA = [".hidden", "a.csv", "broken", "circle", "deep", "fifo", "itself", "link.csv", *CSV]


def test_what_they_say(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    assert files.cluster_ls() == ["data"]
    assert files.cluster_ls("data") == sorted(DATA)
    assert files.cluster_ls(Path("~/data/deep")) == files.cluster_ls(b"data/deep") == ["b.csv", "er"]
    csv = sorted(["a.csv", "deep/b.csv", "link.csv", *CSV])
    assert files.cluster_find("*.csv", "data") == files.cluster_find("*.csv", "data/") == csv
    assert files.cluster_find("*.csv") == [f"data/{name}" for name in csv]
    assert files.cluster_find("d*/*.csv") == sorted(f"data/{name}" for name in csv)
    assert files.cluster_find("deep/*", "data") == ["deep/b.csv"]
    assert files.cluster_find("er", "data") == [], "a directory is no file"
    assert files.cluster_stat("data/a.csv") == (3, 1e9, False, True, "640", "a.csv")
    assert files.cluster_stat("data/a.csv").modified_datetime.timestamp() == 1e9
    assert files.cluster_stat("data/link.csv")[:4] == (3, 1e9, False, True)
    there = files.cluster_stat("data/")
    assert (there.is_dir, there.is_file, there.name) == (True, False, "data")
    assert files.cluster_exists("data/fifo") and not files.cluster_exists("data/broken")
    assert files.cluster_isdir("data/circle") and not files.cluster_isdir("data/a.csv")
    assert files.cluster_isfile("data/link.csv") and not files.cluster_isfile("data/fifo")
    assert files.cluster_glob("*.csv", "data") == sorted(["a.csv", "link.csv", *CSV])
    assert files.cluster_glob("*/*/*.csv") == ["data/deep/b.csv", "data/circle/data/a.csv"][:1]
    assert files.cluster_glob("data/.h*") == ["data/.hidden"] and ".hidden" not in files.cluster_glob("*", "data")
    assert files.cluster_glob(f"{tree}/da?a") == [f"{tree}/data"]
    assert files.cluster_glob("b[rx]oken", "data") == ["broken"] and files.cluster_glob("no/such/*") == []
    used = files.cluster_du("data")
    assert used == (3 + 5 + 7 + 11 + 3 * 13 + len("a.csv"), 8)
    assert (used.total_mb, used.total_gb) == (used.total_bytes / 2**20, used.total_bytes / 2**30)
    assert files.cluster_count_files() == 8 and files.cluster_count_files("data", "*.csv") == len(csv)


@every_python
def test_every_interpreter_says_the_same(python: str, tree: Path) -> None:
    here = told(sys.executable, tree)
    assert len(here) == len(CASES) and here[3] == ["FileNotFoundError", "nowhere"]
    assert here[4] == ["NotADirectoryError", "data/a.csv"]
    assert told(python, tree) == here


@every_python
def test_a_client_is_told_the_same(python: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    # An interpreter that takes all names for ASCII.
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for name, arguments in CASES[1::2]:
        function: Callable[..., Any] = getattr(files, name)
        try:
            expected = function(**arguments)
        except OSError as error:
            with pytest.raises(type(error)) as raised:
                answered(python, tree, name, env, **arguments)
            assert raised.value.filename == error.filename
            assert str(raised.value) == f"[Errno {error.errno}] {error.strerror} (on hpc): {error.filename!r}"
        else:
            assert answered(python, tree, name, env, **arguments) == expected, name
    for odd in CSV:
        assert answered(python, tree, "cluster_stat", env, path=f"data/{odd}") == files.cluster_stat(f"data/{odd}")
        assert answered(python, tree, "cluster_find", env, pattern=odd) == [f"data/{odd}"]


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory with one in it that nobody may read; it is not root who looks."""
    root = Path(tempfile.mkdtemp(prefix="clustrix-closed-"))
    (root / "closed" / "in").mkdir(parents=True)
    (root / "file").write_text("x")
    (root / "closed").chmod(0)
    root.chmod(0o755)
    yield root
    (root / "closed").chmod(0o755)
    shutil.rmtree(root)


def test_a_directory_that_cannot_be_read_is_named(closed: Path) -> None:
    script = (
        "import json, os, sys\n"
        "os.getuid() or os.setuid(65534)\n"
        f"sys.path.insert(0, {str(Path(files.__file__).parents[2])!r})\n"
        "from clustrix_core.worker import files as f\n"
        "for ask in (lambda: f.cluster_ls('closed'), lambda: f.cluster_find('*'), lambda: f.cluster_du(),\n"
        "            lambda: f.cluster_count_files(), lambda: f.cluster_glob('*/*'),\n"
        "            lambda: f.cluster_stat('closed/in')):\n"
        "    try: ask()\n"
        "    except PermissionError as error: print(error.filename)\n"
        "print(f.cluster_ls(), f.cluster_exists('closed/in'), f.cluster_isdir('closed'))\n"
    )
    done = subprocess.run(["/usr/bin/python3", "-c", script], cwd=closed, capture_output=True, text=True)
    *named, rest = done.stdout.splitlines()
    assert [os.path.normpath(name) for name in named] == ["closed"] * 5 + ["closed/in"], done.stderr
    assert rest == "['closed', 'file'] False True"


def test_a_huge_directory_is_a_stream(tmp_path: Path) -> None:
    for number in range(20_000):
        os.close(os.open(tmp_path / f"{number:06d}", os.O_CREAT))
    question = json.dumps({"ask": "cluster_ls", "arguments": {"path": str(tmp_path)}, "cwd": None})
    argv = [sys.executable, str(unpacked()), "files"]
    asked = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = asked.communicate(question.encode(), timeout=60)
    answer = _Answer("hpc")
    for start in range(0, len(out), 1000):
        answer.feed(out[start : start + 1000])
    assert _READ["cluster_ls"](answer.values()) == files.cluster_ls(tmp_path)
    assert len(answer.values()) == 20_000


def test_what_goes_meanwhile_is_left_out(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "file").write_text("x")
    walk = files.files(str(tmp_path))
    first = Path(next(walk).path).parent
    for number in range(3):
        if tmp_path / f"d{number}" != first:
            (tmp_path / f"d{number}" / "file").unlink()
            (tmp_path / f"d{number}").rmdir()
    assert list(walk) == []


@pytest.mark.parametrize("path", ["", "a\0b", None, 3, ["a"], "\ud800"])
def test_what_is_no_path_is_refused(path: Any) -> None:
    for ask in (files.cluster_ls, files.cluster_exists, files.cluster_glob):
        with pytest.raises(errors.ConfigError, match="is no path") as raised:
            ask(path)
        assert isinstance(raised.value, ValueError) and raised.value.hint


@pytest.mark.parametrize("pattern", ["/data/*.csv", "run/", "a//b"])
@pytest.mark.parametrize("ask", [files.cluster_find, lambda pattern: files.cluster_count_files(pattern=pattern)])
def test_a_pattern_that_fits_no_path_is_refused(ask: Any, pattern: str) -> None:
    with pytest.raises(errors.ConfigError, match="fits no path") as raised:
        ask(pattern)
    assert "cluster_glob" in raised.value.hint


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


MARK = lookup.MARK + b"\n"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("cluster_ls", b"not json\n"),
        ("cluster_ls", lines(3, {"end": 1})),
        ("cluster_ls", lines("a\0b", {"end": 1})),
        ("cluster_ls", lines("", {"end": 1})),
        ("cluster_ls", lines("a", {"end": 2})),
        ("cluster_ls", lines("a", {"end": 1}, "b")),
        ("cluster_ls", lines({"end": 0}, {"end": 0})),
        ("cluster_ls", lines({"neither": 1})),
        ("cluster_ls", b"[" * 100_000 + b"\n"),
        ("cluster_ls", b"x" * 200_000),
        ("cluster_exists", lines(1, {"end": 1})),
        ("cluster_exists", lines({"end": 0})),
        ("cluster_exists", lines(True, False, {"end": 2})),
        ("cluster_count_files", lines(True, {"end": 1})),
        ("cluster_count_files", lines("9", {"end": 1})),
        ("cluster_du", lines([1, 2, 3], {"end": 1})),
        ("cluster_du", lines([1, None], {"end": 1})),
        ("cluster_stat", lines([1, 2.0, False, True, "644"], {"end": 1})),
        ("cluster_stat", lines([1, 2.0, 0, True, "644", "x"], {"end": 1})),
        ("cluster_stat", lines({"error": "SystemExit", "said": "\x1b[31mbad", "path": "x"})),
        ("cluster_stat", lines({"error": "OSError", "said": ["odd"], "path": None})),
    ],
)
def test_an_answer_that_is_none_is_refused(name: str, answer: bytes) -> None:
    reader = _Answer("hpc")
    with pytest.raises(errors.ClustrixError) as raised:
        reader.feed(b"Welcome!\n" + MARK + answer)
        _READ[name](reader.values())
    assert str(raised.value).isprintable()


def test_an_answer_without_end_is_cut_off() -> None:
    reader = _Answer("hpc")
    reader.feed(MARK)
    with pytest.raises(errors.CommandError, match="longer than 64 MB") as raised:
        for _ in range(2 * MOST // 100_000):
            reader.feed(b"\n" * 100_000)
    assert "Ask for less" in str(raised.value)


def test_a_search_says_that_it_goes_on_and_ends_with_its_client(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(unpacked())!r})\n"
        "from clustrix_core.worker import files, lookup\n"
        "lookup.BEAT = 0.1\n"
        "def slow(path): time.sleep(60); return True\n"
        "files.cluster_exists = slow\n"
        "lookup.answer()\n"
    )
    pipe = subprocess.PIPE
    asked = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe)
    assert asked.stdin and asked.stdout
    asked.stdin.write(json.dumps({"ask": "cluster_exists", "arguments": {"path": "x"}, "cwd": None}).encode())
    asked.stdin.close()
    assert asked.stdout.readline() == MARK
    assert [asked.stdout.readline() for _ in range(3)] == [b"\n"] * 3
    began = time.monotonic()
    asked.stdout.close()
    assert asked.wait(30) == 1 and time.monotonic() - began < 20
