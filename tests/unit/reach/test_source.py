"""A function that is read from source alone: what is found, why, and what is left open."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.errors import ConfigError
from clustrix_core.reach import analysis
from clustrix_core.reach.graph import Need
from clustrix_core.reach.piles import Installed, Reach
from clustrix_core.reach.shelf import Limits

Write = Callable[..., Path]


def explain(write: Write, files: dict[str, str], name: str = "f") -> Reach:
    return analysis.of_file(str(write(files) / "main.py"), name)


def installed(reach: Reach, name: str) -> Installed:
    (found,) = [one for one in reach.installed if one.distribution == name]
    return found


def standard(reach: Reach) -> set[str]:
    return {one.module for one in reach.standard}


def doubts(reach: Reach) -> list[tuple[str, int]]:
    return [(one.text, one.place.line) for one in reach.doubts]


# -- the three piles, and why


def test_the_chain_says_why(write: Write) -> None:
    reach = explain(
        write,
        {
            "main": "from near import g\n\ndef f():\n    return g()\n",
            "near": "import yaml\ndef g():\n    return h()\ndef h():\n    return yaml.safe_load('1')\n",
        },
    )
    found = installed(reach, "PyYAML")
    assert [(step.name, Path(step.place.file).name, step.place.line) for step in found.why] == [
        ("main.f", "main.py", 3),
        ("near.g", "main.py", 4),
        ("near.h", "near.py", 3),
        ("yaml.safe_load", "near.py", 5),
    ]
    assert (found.need, found.modules) == (Need.CERTAIN, ("yaml",))
    assert reach.doubts == () and reach.complete


def test_what_is_not_reached_is_not_named(write: Write) -> None:
    text = "import yaml, click\nimport numpy as np\ndef g(): return np.zeros(1)\ndef f(): return click.echo('')\n"
    assert [one.distribution for one in explain(write, {"main": text}).installed] == ["click"]


def test_a_module_that_travels_whole_takes_more_along_than_is_used(write: Write) -> None:
    near = "import yaml\nfrom rich.console import Console\nimport click\ndef g(): click.echo('')\ndef unused(): yaml\n"
    reach = explain(write, {"main": "import near\ndef f(): return near.g()\n", "near": near})
    assert installed(reach, "click").need == Need.CERTAIN
    assert installed(reach, "rich").need == Need.CERTAIN  # a class of it must be there for the module to be read at all
    assert installed(reach, "PyYAML").need == Need.PERHAPS


def test_a_module_that_is_run_there_needs_what_it_imports(write: Write) -> None:
    reach = explain(
        write,
        {
            "main": "def f():\n    from late import g\n    return g()\n",
            "late": "import yaml\ntry: import click\nexcept ImportError: pass\ndef g(): pass\ndef h(): import rich\n",
        },
    )
    needs = {one.distribution: one.need for one in reach.installed}
    assert needs == {"PyYAML": Need.CERTAIN, "click": Need.OPTIONAL, "rich": Need.PERHAPS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    import json.decoder as d\n    return d", {"json.decoder"}),
        ("import os.path\ndef f(): return os.path.join('a')", {"os"}),
        ("import json\nclass A(json.JSONEncoder): pass\ndef f(): return A", {"json"}),
        ("import enum\nclass A(metaclass=enum.EnumMeta): pass\ndef f(): return A", {"enum"}),
        ("import abc\n@abc.abstractmethod\ndef f(): pass", {"abc"}),
        ("import math\ndef f(x=math.pi): pass", {"math"}),
        ("import csv\ndef f(): return [csv for csv in range(3)]", set()),
        ("import csv\ndef f(): return [x for x in csv.reader([])]", {"csv"}),
        ("import csv\ndef f(csv): return csv", set()),
        ("import csv\ndef f():\n    def g(): return csv\n    return g", {"csv"}),
        ("import csv\ndef f():\n    csv = 1\n    def g(): return csv\n    return g", set()),
        (
            "import csv\ndef f():\n    class A:\n        csv = 1\n        def go(self): return csv\n    return A",
            {"csv"},
        ),
        ("import csv\ndef f():\n    global csv\n    csv = 1", {"csv"}),
        ("import csv\ndef f(x):\n    match x:\n        case {'a': csv}: return csv", set()),
        ("import csv\ndef f():\n    y: csv.Dialect = 1", set()),
        ("import csv\ndef f():\n    return getattr(csv, 'reader')", {"csv"}),
        ("import importlib\ndef f(): importlib.import_module('csv')", {"importlib", "csv"}),
        ("def f(): __import__('csv')", {"csv"}),
        ("if True:\n    import csv\nelse:\n    csv = None\ndef f(): return csv", {"csv"}),
        ("with open('x') as csv: pass\ndef f(): return csv", set()),
        ("import csv\nf = None\ndef f(): return csv", {"csv"}),
        ("import csv\nasync def f():\n    async for x in csv: yield x", {"csv"}),
        ("import csv\ndef f(): return f'{csv!r}'", {"csv"}),
    ],
)
def test_names_are_followed_as_python_does(text: str, expected: set[str], write: Write) -> None:
    assert standard(explain(write, {"main": text})) == expected


def test_relative_imports_and_packages_around_the_file(write: Write) -> None:
    place = write(
        {
            "pkg/__init__": "",
            "pkg/deep/__init__": "from ..other import k\n",
            "pkg/deep/mod": "from . import k\nfrom ..other import g\nfrom .... import nowhere\ndef f(): k(), g()\n"
            "def h(): return nowhere\n",
            "pkg/other": "def g(): return 1\ndef k(): return 2\n",
        }
    )
    reach = analysis.of_file(str(place / "pkg/deep/mod.py"), "f")
    assert [one.name for one in reach.own] == ["pkg.deep.mod.f", "pkg.other.k", "pkg.other.g"]
    lost = analysis.of_file(str(place / "pkg/deep/mod.py"), "h")
    assert [one.text for one in lost.doubts] == ["a relative import without a package around it"]


def test_methods_and_classes(write: Write) -> None:
    text = "import csv, json\nclass A:\n    def go(self): return csv\n    @staticmethod\n    def s(): return json\n"
    place = write({"main": text})
    assert standard(analysis.of_file(str(place / "main.py"), "A.s")) == {"json"}
    assert standard(analysis.of_file(str(place / "main.py"), "A")) == {"csv", "json"}


def test_the_answer_is_json(write: Write) -> None:
    reach = explain(write, {"main": "import yaml\ndef f(): return yaml\n"})
    data = json.loads(json.dumps(reach.as_data()))
    assert data["installed"][0]["distribution"] == "PyYAML" and data["installed"][0]["need"] == "certain"
    assert data["read"] == {"files": 1, "bytes": 33, "complete": True}


# -- what cannot be told


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import importlib\ndef f(x):\n    return importlib.import_module(x)", 3, "which module that is"),
        ("from importlib import import_module\ndef f(x):\n    return import_module('.' + x, 'a')", 3, "which module"),
        ("def f(x):\n    return __import__(x)", 2, "which module that is"),
        ("def f(x):\n    exec(x)", 2, "exec runs code that is only text"),
        ("def f(x):\n    return eval(x)", 2, "eval runs"),
        ("import near\ndef f(x):\n    return getattr(near, x)", 3, "getattr takes a name from near"),
        ("from importlib import metadata\nimport importlib.metadata\ndef f():\n"
         "    return importlib.metadata.entry_points()", 4, "plugins are looked for"),
        ("import sys\ndef f():\n    sys.path.insert(0, 'x')", 3, "search path"),
        ("def f():\n    try:\n        import yaml\n    except ImportError:\n        pass", 3, "yaml is optional"),
        ("def f():\n    import nothing_of_that_name", 2, "there is no module 'nothing_of_that_name' here"),
        ("def f():\n    return nothing_of_that_name", 2, "is bound nowhere in main"),
        ("def make(): return 1\nX = make()\ndef f():\n    return X", 2, "what make() has returned"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import csv\ndef f():\n    csv", 5, "checkers"),
        ("import lazy\ndef f():\n    return lazy.thing", 3, "lazy.__getattr__ makes thing up"),
    ],
)  # fmt: skip
def test_doubts_are_told_with_their_line(text: str, line: int, said: str, write: Write) -> None:
    reach = explain(write, {"main": text, "near": "", "lazy": "def __getattr__(name): return 1\n"})
    assert any(said in found and at == line for found, at in doubts(reach)), doubts(reach)


def test_what_an_own_call_returned_is_a_guess(write: Write) -> None:
    text = "import yaml\ndef make(): return yaml.safe_load('1')\nX = make()\ndef f(): return X\n"
    reach = explain(write, {"main": text})
    assert installed(reach, "PyYAML").need == Need.PERHAPS
    assert "main.make" not in [one.name for one in reach.own]


def test_a_broken_neighbour_is_a_doubt(write: Write) -> None:
    reach = explain(write, {"main": "import near\ndef f(): return near\n", "near": "def (:\n"})
    assert any("near.py is no Python" in text and line == 1 for text, line in doubts(reach))


# -- data files


@pytest.mark.parametrize(
    "expression",
    [
        "Path(__file__).parent / 'data' / 'x.csv'",
        "Path(__file__).parent.joinpath('data', 'x.csv')",
        "os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data', 'x.csv')",
        "os.path.dirname(__file__) + '/data/x.csv'",
        "HERE / 'data/x.csv'",
        "ELSEWHERE / 'x.csv'",
        "Path(__file__).parents[0] / 'data' / 'x.csv'",
        "files('pkg') / 'data' / 'x.csv'",
        "files(pkg).joinpath('data/x.csv')",
        "pkgutil.get_data('pkg', 'data/x.csv')",
        "pkgutil.get_data(__package__, 'data/x.csv')",
    ],
)
def test_data_files_that_the_package_names(expression: str, write: Write) -> None:
    head = (
        "import os, pkgutil\nimport pkg\nfrom importlib.resources import files\nfrom pathlib import Path\n"
        "from .places import ELSEWHERE\nHERE = Path(__file__).parent\n"
    )
    place = write(
        {
            "pkg/__init__": "",
            "pkg/places": "from pathlib import Path\nELSEWHERE = Path(__file__).parent / 'data'\n",
            "pkg/mod": f"{head}def f():\n    return open({expression})\n",
        }
    )
    (place / "pkg/data").mkdir()
    file = place / "pkg/data/x.csv"
    file.write_text("1\n")
    (place / "pkg/data/other.csv").write_text("2\n")
    reach = analysis.of_file(str(place / "pkg/mod.py"), "f")
    found = [one for one in reach.own if one.kind in ("file", "folder")]
    assert (os.path.realpath(file), False) in [(one.name, one.travels) for one in found]
    assert all(one.name.startswith(os.path.realpath(place / "pkg/data")) for one in found)


def test_a_name_that_is_computed_and_a_file_that_is_not_there(write: Write) -> None:
    text = "from pathlib import Path\nHERE = Path(__file__).parent\ndef f(x):\n    return HERE / x, HERE / 'nothing'\n"
    reach = explain(write, {"main": text})
    assert [one.kind for one in reach.own] == ["function", "value"]
    assert doubts(reach) == [("a path beside the module has a part that only a run can tell", 4)]


# -- nothing is run, and no more is read than is allowed


def test_nothing_is_imported_or_run(write: Write, tmp_path: Path) -> None:
    bomb = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    files: dict[str, str] = {
        "main": bomb + "import near, pkg.sub\nfrom pkg import *\ndef f():\n    import late\n    near.g(), pkg.sub\n",
        "near": bomb + "def g(): pass\n",
        "late": bomb,
        "pkg/__init__": bomb,
        "pkg/sub": bomb,
    }
    before = set(sys.modules)
    explain(write, files)
    assert not (tmp_path / "ran").exists()
    assert not {"main", "near", "late", "pkg"} & (set(sys.modules) - before)


@pytest.mark.parametrize("limits", [Limits(files=3), Limits(bytes=200), Limits(file=30)])
def test_limits_are_kept_and_told(limits: Limits, write: Write) -> None:
    files = {f"m{n}": f"import m{n + 1}\ndef g(): return m{n + 1}.g()  # {'x' * 20}\n" for n in range(50)}
    place = write({"main": "import m0\ndef f(): m0\n", **files})
    reach = analysis.of_file(str(place / "main.py"), "f", limits)
    assert not reach.complete and reach.files <= limits.files and reach.bytes <= limits.bytes
    assert any("was not read" in text for text, _ in doubts(reach))


@pytest.mark.parametrize(
    ("name", "message"),
    [("g", r"no function 'g'[^?]*\nDid you mean 'gg'\?"), ("X", "not defined there as a function"), ("A.b", "no func")],
)
def test_a_function_that_is_not_there(name: str, message: str, write: Write) -> None:
    with pytest.raises(ConfigError, match=message):
        explain(write, {"main": "X = 1\ndef gg(): pass\nclass A:\n    def a(self): pass\n"}, name)


def test_a_file_that_is_no_python(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"main.py is no Python 3\.\d+: ") as caught:
        explain(write, {"main": "x = 1\ndef f(:\n"})
    assert caught.value.line == 2


def test_many_imports_in_a_circle(write: Write) -> None:
    count = 300
    files: dict[str, Any] = {
        f"m{n}": f"from m{(n + 1) % count} import *\nfrom m{(n + 7) % count} import g as h\ndef g(): return h(), k\n"
        for n in range(count)
    }
    reach = explain(write, {"main": "from m0 import g\ndef f(): return g()\n", **files})
    assert len([one for one in reach.own if one.kind == "function"]) == count + 1


@pytest.mark.parametrize("file", ["q/__init__.py", "q/user.py"])
def test_a_package_that_imports_its_own_submodule(file: str, write: Write) -> None:
    text = "from . import other\ndef go(x): return other.thing(x)\n"
    place = write(
        {"q/__init__": text, "q/user": text, "q/other": "import yaml\ndef thing(x): return yaml.safe_load(x)\n"}
    )
    reach = analysis.of_file(str(place / file), "go")
    assert [one.distribution for one in reach.installed] == ["PyYAML"]
