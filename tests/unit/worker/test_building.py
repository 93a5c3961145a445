"""An environment is built once, whoever asks; by the real builder, with a uv on PATH that does as it is told."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.worker import building
from tests.unit.worker.jobdir import interpreters, unpacked

KEY = "0123456789abcdef"
PYTHONS = interpreters()
UV = """#!/bin/sh
case $1 in
venv) for target; do :; done; mkdir -p "$target/bin" && ln -s {python} "$target/bin/python";;
pip) echo "$*" >>{root}/installed; echo collecting stones; echo $$ >>{root}/pids
     while [ -e {root}/hold ]; do sleep 0.05; done
     [ ! -e {root}/fail ] || {{ echo "no such stone" >&2; exit 1; }};;
esac
"""


def recipe(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {name: [] for name in ("constraints", "find_links", "wheels", "local", "modules")}
    plain |= {"name": "stones", "conda": "", "manager": "uv", "index": "", "offline": False, "pip": None, "uv": None}
    return plain | {"lines": ["stones==1.0"], "version": list(sys.version_info[:2]), "build": "login"} | changes


class Yard:
    """A work_dir, and programs that the builder finds on PATH."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root, self.python = root, python
        self.work = root / "work"
        self.work.mkdir()
        self.program("uv", UV.format(root=shlex.quote(str(root)), python=shlex.quote(python)))
        self.asked: list[subprocess.Popen[str]] = []

    def program(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def ask(self, wanted: dict[str, Any], mode: str = "build", key: str = KEY) -> subprocess.Popen[str]:
        environment = {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}
        argv = [self.python, str(unpacked()), "environment", key, mode]
        pipe = subprocess.PIPE
        found = subprocess.Popen(argv, cwd=self.work, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.asked.append(found)
        assert found.stdin
        found.stdin.write(json.dumps(wanted))
        found.stdin.close()
        found.stdin = None
        return found

    def told(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for an answer: what was said last under each word, the log joined."""
        out, err = process.communicate(timeout=60)
        assert err == "", err
        found: dict[str, Any] = {"log": "", "code": process.returncode}
        for line in out.splitlines():
            mark, word, what = line.split(" ", 2)
            assert mark == building.SAY
            found[word] = found["log"] + json.loads(what) if word == "log" else json.loads(what)
        return found

    def built(self, **changes: Any) -> dict[str, Any]:
        return self.told(self.ask(recipe(**changes)))

    @property
    def place(self) -> Path:
        return self.work / "envs" / KEY

    @property
    def installs(self) -> int:
        path = self.root / "installed"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def wait_until_installing(self, number: int = 1) -> None:
        end = time.monotonic() + 30
        while self.installs < number:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    found = Yard(tmp_path)
    yield found
    (tmp_path / "hold").unlink(missing_ok=True)
    for process in found.asked:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
def test_it_is_built_and_then_found(python: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path, python)
    version = [int(part) for part in next(name for name, path in PYTHONS.items() if path == python).split(".")]
    first = yard.built(version=version)
    assert first["code"] == 0 and first["last"] is None and "collecting stones" in first["log"]
    assert first["have"]["python"] == ".".join(map(str, version))
    assert (yard.place / "env/bin/python").exists() and (yard.place / "complete").exists()
    assert (yard.place / "build-1.lines.txt").read_text() == "stones==1.0\n"
    again = yard.built(version=version)
    assert again["have"] == first["have"] and "last" not in again and yard.installs == 1


def test_many_ask_at_once_and_one_builds(yard: Yard) -> None:
    (yard.root / "hold").touch()
    asked = [yard.ask(recipe()) for _ in range(12)]
    yard.wait_until_installing()
    (yard.root / "hold").unlink()
    answers = [yard.told(one) for one in asked]
    assert yard.installs == 1
    assert all(answer["code"] == 0 and answer["have"] == answers[0]["have"] for answer in answers)
    assert sum("last" in answer for answer in answers) == 1
    assert all("collecting stones" in answer["log"] for answer in answers if answer["log"])


def test_a_failure_is_told_to_all_who_wait_and_tried_again_for_the_next(yard: Yard) -> None:
    for name in ("hold", "fail"):
        (yard.root / name).touch()
    asked = [yard.ask(recipe()) for _ in range(3)]
    yard.wait_until_installing()
    time.sleep(0.5)  # all of them are waiting now
    (yard.root / "hold").unlink()
    for answer in map(yard.told, asked):
        assert answer["code"] == 1 and "no such stone" in answer["failed"]["why"] and "have" not in answer
    assert yard.installs == 1
    assert not (yard.place / "build-1").exists() and "no such stone" in (yard.place / "log-1").read_text()
    (yard.root / "fail").unlink()
    assert yard.built()["code"] == 0 and yard.installs == 2


def test_a_broken_connection_neither_ends_nor_doubles_a_build(yard: Yard) -> None:
    (yard.root / "hold").touch()
    first = yard.ask(recipe())
    yard.wait_until_installing()
    os.kill(first.pid, signal.SIGKILL)
    second = yard.ask(recipe())
    time.sleep(0.3)
    (yard.root / "hold").unlink()
    assert yard.told(second)["code"] == 0 and yard.installs == 1


def test_a_dead_builder_is_noticed_and_replaced_by_one(yard: Yard) -> None:
    (yard.root / "hold").touch()
    asked = [yard.ask(recipe()) for _ in range(4)]
    yard.wait_until_installing()
    os.kill(json.loads((yard.place / "owner-1").read_text())["pid"], signal.SIGKILL)
    yard.wait_until_installing(2)
    (yard.root / "hold").unlink()
    assert [yard.told(one)["code"] for one in asked] == [0] * 4
    assert yard.installs == 2 and (yard.place / "env").resolve().name == "build-2"


def test_a_builder_of_another_host_is_dead_when_its_heart_has_stopped(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(yard.work)
    monkeypatch.setattr(building, "DEAD", 0.6)
    place = building.Place(os.path.join("envs", KEY))
    place.make()
    assert place.claim(1) and not place.claim(1)
    place.write("owner-1", {"host": "another.host", "pid": 1, "began": 0})
    begun = time.monotonic()
    assert building.Watch(place, 1).dies()
    assert 0.5 < time.monotonic() - begun < 5
    beats = building.Builder(place, 1, recipe())
    monkeypatch.setattr(building, "BEAT", 0.05)
    over = building.threading.Event()
    heart = building.threading.Thread(target=beats._beat, args=(over,))
    heart.start()
    watch = building.threading.Thread(target=lambda: found.append(building.Watch(place, 1).dies()))
    found: list[bool] = []
    watch.start()
    time.sleep(1.2)
    assert found == [], "it lives"
    place.write("ended-1", {"why": "x"})
    watch.join()
    over.set()
    heart.join()
    assert found == [False]


def test_a_builder_that_was_replaced_publishes_nothing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(yard.work)
    monkeypatch.setenv("PATH", f"{yard.root / 'bin'}:{os.environ['PATH']}")
    place = building.Place(os.path.join("envs", KEY))
    place.make()
    place.claim(1)
    place.claim(2)
    building.Builder(place, 1, recipe()).run()
    assert not place.complete() and "taken over" in place.ended(1)["why"] and not (yard.place / "build-1").exists()


def test_what_is_missing_is_asked_for_first(yard: Yard) -> None:
    wheel = {"name": "stones-1.0-py3-none-any.whl", "sha256": "a" * 64}
    answer = yard.built(wheels=[wheel], offline=True)
    assert answer["need"] == [wheel] and answer["code"] == 0 and yard.installs == 0
    file = yard.work / "envs/files" / wheel["sha256"] / wheel["name"]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    assert yard.built(wheels=[wheel], offline=True)["code"] == 0
    said = (yard.root / "installed").read_text()
    assert "--no-index" in said and "--find-links" in said
    assert (yard.place / "build-1.wheels" / wheel["name"]).resolve() == file.resolve()


def test_what_came_along_is_named_by_its_file(yard: Yard) -> None:
    file = yard.work / "envs/files" / ("b" * 64) / "own-1.0-py3-none-any.whl"
    file.parent.mkdir(parents=True)
    file.touch()
    yard.built(lines=[f"own @ clustrix:{'b' * 64}/{file.name}"], local=[{"name": file.name, "sha256": "b" * 64}])
    assert (yard.place / "build-1.lines.txt").read_text() == f"own @ file://{file}\n"


def test_the_last_recipe_is_told_so_that_it_can_be_said_what_changed(yard: Yard) -> None:
    yard.built()
    second = yard.told(yard.ask(recipe(lines=["pebbles==2"]), key="f" * 16))
    assert second["last"]["lines"] == ["stones==1.0"]


def test_a_job_builds_what_was_staged(yard: Yard) -> None:
    staged = yard.told(yard.ask(recipe(), "stage"))
    assert staged["last"] is None and "have" not in staged and yard.installs == 0
    assert yard.told(yard.ask({}, "here"))["code"] == 0
    assert yard.told(yard.ask(recipe(), "stage"))["have"]["python"]
    (yard.root / "fail").touch()
    key = "e" * 16
    yard.told(yard.ask(recipe(), "stage", key))
    assert yard.told(yard.ask({}, "here", key))["code"] == 1
    assert "no such stone" in yard.told(yard.ask(recipe(), "stage", key))["failed"]["why"]


def test_another_python_than_the_clients_is_refused(yard: Yard) -> None:
    answer = yard.built(version=[3, 99])
    assert "3.99 is needed" in answer["failed"]["why"]


def test_without_any_installer_it_says_so(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    (yard.root / "bin/uv").unlink()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(yard.root))
    assert "no uv on PATH" in yard.built()["failed"]["why"]
    assert "no conda" in yard.built(conda="lab")["failed"]["why"]


CONDA = r"""#!/bin/sh
case "$1 $2" in
"env list") echo '{{"envs": ["{root}/conda", "{root}/conda/envs/lab"]}}';;
"create --yes")
    [ "$4" = --prefix ] && mkdir -p "$5/bin" && printf '#!/bin/sh\nexec {python} "$@"\n' >"$5/bin/python"
    chmod +x "$5/bin/python"; echo "$6" >{root}/created;;
esac
"""


def test_a_conda_environment_is_taken_as_it_is(yard: Yard) -> None:
    yard.program("conda", CONDA.format(root=yard.root, python=sys.executable))
    lab = yard.root / "conda/envs/lab"
    (lab / "bin").mkdir(parents=True)
    (lab / "bin/python").symlink_to(sys.executable)
    assert yard.built(conda="lab", lines=[])["code"] == 0
    assert (yard.place / "env").resolve() == lab
    answer = yard.told(yard.ask(recipe(conda="lob"), key="c" * 16))
    assert "conda has no environment 'lob'; there are: conda, lab" in answer["failed"]["why"]
    assert lab.is_dir(), "a failed build removes nothing of the user's"


def test_conda_makes_an_environment_and_pip_fills_it(yard: Yard) -> None:
    yard.program("conda", CONDA.format(root=yard.root, python=sys.executable))
    # A pip that was brought along: a zip that Python runs as it is.
    brought = {"name": "pip-1.0-py3-none-any.whl", "sha256": "d" * 64}
    file = yard.work / "envs/files" / brought["sha256"] / brought["name"]
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("pip/__init__.py", "")
        wheel.writestr(
            "pip/__main__.py", f"import sys; open({str(yard.root / 'piped')!r}, 'w').write(' '.join(sys.argv))"
        )
    assert yard.built(manager="conda", pip=brought)["code"] == 0
    assert (yard.root / "created").read_text() == "python={}.{}\n".format(*sys.version_info[:2])
    said = (yard.root / "piped").read_text()
    assert " install --no-input " in said and said.endswith(f"-r {yard.place}/build-1.lines.txt")
    assert (yard.place / "env/bin/python").exists()


def inventory(yard: Yard, mode: str, *keys: str) -> Any:
    argv = [sys.executable, str(unpacked()), "environments", mode]
    done = subprocess.run(argv, cwd=yard.work, input="\n".join(keys), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.split(" ", 2)[2])


def test_the_inventory_lists_and_removes(yard: Yard) -> None:
    assert inventory(yard, "list") == []
    wheel = {"name": "stones-1.0-py3-none-any.whl", "sha256": "a" * 64}
    file = yard.work / "envs/files" / wheel["sha256"] / wheel["name"]
    file.parent.mkdir(parents=True)
    file.touch()
    yard.built(wheels=[wheel])
    (yard.root / "fail").touch()
    yard.told(yard.ask(recipe(), key="f" * 16))
    good, bad = inventory(yard, "list")
    assert (good["key"], good["state"], good["recipe"]["lines"]) == (KEY, "complete", ["stones==1.0"])
    assert (bad["state"], "no such stone" in bad["why"]) == ("failed", True)
    assert "no such stone" in inventory(yard, "log", "f" * 16)
    assert inventory(yard, "remove", "f" * 16, "../../etc", "files") == ["f" * 16]
    assert file.exists(), "a recipe names it still"
    assert inventory(yard, "remove", KEY) == [KEY]
    assert [path.name for path in (yard.work / "envs").iterdir()] == ["files"] and not file.exists()
