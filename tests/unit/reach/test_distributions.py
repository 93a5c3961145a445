"""Which distribution is behind an import: by the metadata of a folder of installed packages."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from clustrix_core.reach import analysis, own
from clustrix_core.reach.graph import Need
from clustrix_core.reach.piles import Installed, Reach

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a distribution into a folder as installers do: ``files`` are its modules, ``metadata`` what tells of it."""
    site = tmp_path / "env/lib/site-packages"
    site.mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    own.installed_roots.cache_clear()
    own._is_own_file.cache_clear()

    def put(
        name: str, version: str, *files: str, record: bool = True, metadata: Mapping[str, str] | None = None
    ) -> None:
        for file in files:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text("")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        facts = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", **(metadata or {})}
        if record:
            facts["RECORD"] = "".join(f"{file},sha256=x,0\n" for file in files) + f"{info.name}/RECORD,,\n"
        for file, text in facts.items():
            (info / file).write_text(text)

    yield put
    own.installed_roots.cache_clear()
    own._is_own_file.cache_clear()


def explain(tmp_path: Path, text: str) -> Reach:
    file = tmp_path / "main.py"
    file.write_text(text)
    return analysis.of_file(str(file), "f")


def found(reach: Reach) -> set[tuple[str | None, str | None]]:
    return {(one.distribution, one.version) for one in reach.installed}


def test_a_distribution_of_another_name(install: Install, tmp_path: Path) -> None:
    install("opencv-python", "4.9.0", "cv_two/__init__.py", "cv_two/data/__init__.py")
    reach = explain(tmp_path, "import cv_two.data\ndef f(): return cv_two.data\n")
    assert found(reach) == {("opencv-python", "4.9.0")} and reach.doubts == ()


def test_a_namespace_that_distributions_share(install: Install, tmp_path: Path) -> None:
    install("acme-cloud-storage", "2.1", "acme/cloud/storage/__init__.py")
    install("acme-cloud-tables", "0.3", "acme/cloud/tables.py")
    install("acme-other", "1", "acme/other/__init__.py")
    assert found(explain(tmp_path, "from acme.cloud import storage\ndef f(): return storage.Client()\n")) == {
        ("acme-cloud-storage", "2.1")
    }
    assert found(explain(tmp_path, "import acme.cloud.tables\ndef f(): return acme.cloud.tables.x\n")) == {
        ("acme-cloud-tables", "0.3")
    }
    both = "def f():\n    from acme.cloud import storage, tables\n    import acme.other\n"
    assert len(found(explain(tmp_path, both))) == 3


def test_top_level_where_there_is_no_record(install: Install, tmp_path: Path) -> None:
    install("Old-Style", "3", "oldie.py", record=False, metadata={"top_level.txt": "oldie\n"})
    assert found(explain(tmp_path, "import oldie\ndef f(): return oldie\n")) == {("Old-Style", "3")}


def test_a_compiled_module_and_one_of_a_single_file(install: Install, tmp_path: Path) -> None:
    suffix = __import__("importlib.machinery").machinery.EXTENSION_SUFFIXES[0]
    install("fast-things", "1.5", f"_fast{suffix}", "single.py")
    reach = explain(tmp_path, "import _fast, single\ndef f(): return _fast, single\n")
    assert [(one.distribution, one.modules) for one in reach.installed] == [("fast-things", ("_fast", "single"))]


def test_a_module_that_no_distribution_owns(install: Install, tmp_path: Path) -> None:
    install("something", "1", "something.py")
    (tmp_path / "env/lib/site-packages/stray.py").write_text("")
    reach = explain(tmp_path, "import stray\ndef f(): return stray\n")
    assert found(reach) == {(None, None)} and "no distribution here" in reach.doubts[0].text


@pytest.mark.parametrize("damage", ["RECORD", "METADATA"])
def test_damaged_metadata(damage: str, install: Install, tmp_path: Path) -> None:
    install("broken", "1", "broken.py")
    (tmp_path / f"env/lib/site-packages/broken-1.dist-info/{damage}").write_bytes(b"\xff\xfe\0 no text")
    reach = explain(tmp_path, "import broken\ndef f(): return broken\n")
    assert len(reach.installed) == 1


def test_an_editable_package_is_the_users_own(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "work/src"
    (source / "editable").mkdir(parents=True)
    (source / "editable/__init__.py").write_text("def g(): return 1\n")
    install("editable", "1", "editable.pth", metadata={"direct_url.json": '{"dir_info": {"editable": true}}'})
    monkeypatch.syspath_prepend(source)  # what the .pth would do at the start of the interpreter
    reach = explain(tmp_path, "import editable\ndef f(): return editable.g()\n")
    assert [one.name for one in reach.own] == ["main.f", "editable"] and reach.installed == ()


def test_real_distributions(tmp_path: Path) -> None:
    text = "import numpy as np, yaml, click\ndef f():\n    import pluggy\n    return np.linalg.norm, yaml, click\n"
    reach = explain(tmp_path, text)
    assert {one.distribution for one in reach.installed} == {"numpy", "PyYAML", "click", "pluggy"}
    assert all(
        one.version == sys.modules["importlib.metadata"].version(str(one.distribution)) for one in reach.installed
    )
    assert all(one.need == Need.CERTAIN for one in reach.installed)


def test_it_takes_no_time(install: Install, tmp_path: Path) -> None:
    """A numpy and a pandas of the size that they really have, among 200 others."""
    for name in ("numpy", "pandas"):
        files = [f"{name}/part{n}/__init__.py" for n in range(30)]
        install(
            f"x{name}",
            "2.0",
            f"x{name}/__init__.py",
            metadata={
                "RECORD": f"x{name}/__init__.py,,\n" + "".join(f"{file},sha256={'0' * 43},100\n" for file in files * 50)
            },
            record=False,
        )
    for number in range(200):
        install(f"other{number}", "1", f"other{number}/__init__.py")
    explain(tmp_path, "def f(): pass\n")
    start = time.process_time()
    reach = explain(
        tmp_path, "import xnumpy as np\nimport xpandas as pd\ndef f(x): return np.zeros(3), pd.DataFrame(x)\n"
    )
    assert time.process_time() - start < 1
    assert isinstance(reach.installed[0], Installed) and len(reach.installed) == 2
