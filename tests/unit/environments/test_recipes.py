"""From what is asked to a recipe, its key, and the words for what changed."""

from __future__ import annotations

import dataclasses
import json
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clustrix_core import payload
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.environments import changes, distributions, recipe, tools
from clustrix_core.environments.build import _Talk
from clustrix_core.environments.recipe import File, Recipe
from clustrix_core.environments.talk import Lines
from clustrix_core.environments.wheels import rewheel
from clustrix_core.errors import CommandError, ConfigError
from clustrix_core.model import Cluster, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.local import Local
from tests.unit.environments import houses

SITE = Site("/scratch/ada", (3, 11), interpreter="3.11.2 linux-x86_64 /usr/bin/python3")
PLAIN = Recipe("auto", ("stones==1.0",))
OTHERWISE: dict[str, Any] = {
    "lines": ("stones==1.1",),
    "constraints": ("moss==1",),
    "conda": "lab",
    "manager": "pip",
    "index": "https://example.org",
    "find_links": ("/wheels",),
    "wheels": (File("a.whl", "ab", "/a.whl"),),
    "local": (File("a.whl", "ab", "/a.whl"),),
    "offline": True,
    "version": (3, 12),
    "modules": ("python/3.11",),
}


def test_whatever_matters_changes_the_key() -> None:
    names = {field.name for field in dataclasses.fields(Recipe)}
    assert names == {*OTHERWISE, "name", "build"}
    key = PLAIN.key(SITE)
    assert len(key) == 16 and key == PLAIN.key(dataclasses.replace(SITE, seen=1.0, user="x"))
    keys = {dataclasses.replace(PLAIN, **{name: value}).key(SITE) for name, value in OTHERWISE.items()}
    assert len(keys | {key}) == len(OTHERWISE) + 1
    assert PLAIN.key(dataclasses.replace(SITE, interpreter="3.11.3 linux-x86_64 /usr/bin/python3")) != key
    assert dataclasses.replace(PLAIN, name="x", build="job").key(SITE) == key
    moved = dataclasses.replace(PLAIN, wheels=(File("a.whl", "ab", "/elsewhere/a.whl"),)).key(SITE)
    assert moved == dataclasses.replace(PLAIN, wheels=OTHERWISE["wheels"]).key(SITE), "where it lies here is no matter"


def test_a_recipe_survives_the_journal() -> None:
    whole = dataclasses.replace(PLAIN, **OTHERWISE)
    assert Recipe.from_json(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lines": ("stones==1.1",)}, "stones==1.1 instead of stones==1.0"),
        ({"lines": ("stones==1.0", "moss==2")}, "+ moss==2"),
        ({"lines": ()}, "- stones==1.0"),
        ({"constraints": ("moss==1",)}, "+ moss==1"),
        ({"version": (3, 12)}, "the version of Python changed"),
        ({"modules": ("gcc",), "manager": "uv"}, "modules and manager changed"),
        ({"wheels": OTHERWISE["wheels"]}, "other wheels"),
        ({}, "the cluster's Python has changed, or it was removed"),
    ],
)
def test_why_it_is_built(change: dict[str, Any], said: str) -> None:
    assert changes.reason(PLAIN, None) == "it is the first one there"
    assert said in changes.reason(dataclasses.replace(PLAIN, **change), PLAIN.to_json())


def asked(what: Any, **settings: Any) -> Recipe | None:
    return recipe(what, ClusterConfig(backend="local", **settings), Resources(), lambda: {"stones.hard", "json"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed set of packages: stones needs pebbles, and for an extra moss; two share the package rocks."""
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "home"))
    house = tmp_path / "wheels"
    wheels = [
        houses.wheel(house, "stones", "", "1.4", ["Pebbles>=2", "moss; extra == 'soft'", "absent"]),
        houses.wheel(house, "pebbles", "", "2.5", ["sand"]),
        houses.wheel(house, "sand", "", "7"),
        houses.wheel(house, "moss", "", "0.1"),
    ]
    place = houses.installed(tmp_path, wheels)
    for name in ("granite", "chalk"):
        (place / f"rocks/{name}").mkdir(parents=True)
        (place / f"rocks/{name}/__init__.py").touch()
        info = place / f"rocks_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rocks-{name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"rocks/{name}/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(place))
    from clustrix_core.reach import own

    for cached in vars(own).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    return place


def origin(site: Path, name: str, **facts: Any) -> Distribution:
    (info,) = site.glob(f"{name}-*.dist-info")
    (info / "direct_url.json").write_text(json.dumps(facts))
    return Distribution.at(info)


def test_auto_pins_what_is_reached_and_holds_what_that_needs(site: Path) -> None:
    found = asked("auto")
    assert found is not None
    assert found.lines == ("stones==1.4",) and found.constraints == ("pebbles==2.5", "sand==7")


def test_a_shared_package_is_told_apart(site: Path) -> None:
    assert [one.metadata["Name"] for one in distributions.behind(["rocks.chalk"])] == ["rocks-chalk"]
    assert distributions.behind(["json", "clustrix_core.model", "cloudpickle", "no_such_thing", "__main__"]) == []


def test_what_is_not_from_an_index(site: Path, tmp_path: Path) -> None:
    git = origin(site, "moss", url="https://example.org/moss", vcs_info={"vcs": "git", "commit_id": "abc"})
    assert distributions.pin(git, tmp_path).line == "moss @ git+https://example.org/moss@abc"
    archive = origin(site, "moss", url="https://example.org/moss.whl", archive_info={})
    assert distributions.pin(archive, tmp_path).line == "moss @ https://example.org/moss.whl"
    local = distributions.pin(origin(site, "moss", url="file:///home/ada/moss", dir_info={}), tmp_path / "packed")
    assert local.file and local.line == f"moss @ clustrix:{local.file.sha256}/moss-0.1-py3-none-any.whl"
    with pytest.raises(ConfigError, match="user name or password"):
        distributions.pin(origin(site, "moss", url="https://me:secret@example.org/m.whl"), tmp_path)
    assert [one.metadata["Name"] for one in distributions.behind(["moss"])] == ["moss"]
    origin(site, "moss", url="file:///home/ada/moss", dir_info={"editable": True})
    assert distributions.behind(["moss"]) == [], "its modules are the user's own, and travel"
    assert "moss" not in {one.metadata["Name"] for one in distributions.everything()}


def test_freeze_is_everything_but_ourselves(site: Path) -> None:
    lines = asked("freeze")
    assert lines is not None
    assert {"stones==1.4", "moss==0.1", "rocks-chalk==1.0"} <= set(lines.lines)
    assert not [line for line in lines.lines if line.startswith(("clustrix", "cloudpickle"))]


def test_a_wheel_of_what_is_installed_is_the_same_each_time(site: Path, tmp_path: Path) -> None:
    moss = origin(site, "moss", url="file:///home/ada/moss", dir_info={})
    first, second = (rewheel(moss, tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    with zipfile.ZipFile(tmp_path / "a/moss-0.1-py3-none-any.whl") as wheel:
        assert "moss/__init__.py" in wheel.namelist() and wheel.testzip() is None
        assert not [name for name in wheel.namelist() if name.endswith(("direct_url.json", ".pyc"))]
        record = wheel.read("moss-0.1.dist-info/RECORD").decode()
        assert record.endswith("moss-0.1.dist-info/RECORD,,\n") and "moss/__init__.py,sha256=" in record
    (site / "moss/__init__.py").unlink()
    with pytest.raises(ConfigError, match="is damaged"):
        rewheel(moss, tmp_path)


def test_pip_is_brought_along(tmp_path: Path) -> None:
    file = tools.pip(tmp_path)
    assert file is not None and file.name.startswith("pip-") and zipfile.is_zipfile(file.path)


def test_what_can_be_asked(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("moss\n")
    assert asked("none") is None and asked(["none"]) is None
    files = asked("requirements.txt")
    assert files and files.lines == ("moss",)
    mixed = asked(["auto", "moss", "requirements.txt"])
    assert mixed and mixed.lines == ("stones==1.4", "moss", "moss")
    named = asked("lab", manager="conda")
    assert named and named.conda == "lab" and named.version == sys.version_info[:2]
    assert files.version is None, "it is made of the cluster's Python"
    url = asked(["moss @ https://example.org/moss-0.1-py3-none-any.whl"])
    assert url and url.lines == ("moss @ https://example.org/moss-0.1-py3-none-any.whl",)
    house = asked(["moss"], wheels=str(tmp_path / "wheels"))
    assert house and house.offline and {file.name for file in house.wheels} >= {"moss-0.1-py3-none-any.whl"}
    both = asked(["moss"], wheels=str(tmp_path / "wheels"), index="https://example.org/simple")
    assert both and not both.offline


@pytest.mark.parametrize(
    ("what", "settings", "said"),
    [
        ("freez", {}, "Did you mean 'freeze'"),
        ("no/such/requirements.txt", {}, "there is no requirements file"),
        ("environment.yml", {}, "there is no requirements file"),
        (["none", "moss"], {}, "stands alone"),
        (["moss"], {"wheels": "/nowhere"}, "there are no wheels"),
        (["moss"], {"index": "https://me:secret@example.org/simple"}, "holds a user name or password"),
        ("a b", {}, "is not an environment"),
    ],
)
def test_what_is_refused(what: Any, settings: dict[str, Any], said: str, site: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        asked(what, **settings)


def test_what_a_payload_reaches_is_noted(site: Path, tmp_path: Path) -> None:
    import stones

    class Held:
        def __init__(self, what: Any) -> None:
            self.what = what

    def function(held: Any) -> Any:
        import moss

        return moss, held

    reached = payload.pack(tmp_path, function, [((Held(stones),), {})], {}, python=payload.HERE)
    assert {"stones", "moss"} <= reached
    assert {"moss"} <= session.imports_of(function)
    assert isinstance(stones, ModuleType)
    for name in ("stones", "moss"):
        sys.modules.pop(name, None)


def test_answers_are_found_among_what_a_login_shell_says() -> None:
    heard: list[Any] = []
    lines = Lines(lambda word, what: heard.append((word, what)))
    for piece in (b"Welcome!\nclustrix-env lo", b'g "a\\n', b'b"\nnoise\nclustrix-env have {"x": 1}\n'):
        lines.feed(piece)
    assert heard == [("log", "a\nb"), ("have", {"x": 1})] and lines.heard == 2
    with pytest.raises(CommandError, match="damaged"):
        lines.feed(b"clustrix-env have {\n")
    with pytest.raises(CommandError, match="no end"):
        Lines(lambda word, what: None).feed(b"x" * (1 << 23))


@pytest.mark.parametrize(
    ("there", "own"), [((3, 6), None), (sys.version_info[:2], None), ((3, 6), sys.version_info[:2])]
)
def test_who_has_another_python_is_told_that_versions_may_not_exist_for_it(
    there: tuple[int, int], own: tuple[int, int] | None
) -> None:
    cluster = Cluster("there", "local", None, Local(), site=Site("/scratch", there, "ada"))
    error = _Talk(Recipe("auto", ("stones==1.0",), version=own), "0" * 16, cluster).error()
    assert ("The Python over there is 3.6" in str(error)) is (there == (3, 6) and own is None)
    assert "clustrix env show" in str(error)
