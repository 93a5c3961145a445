"""Rules that hold for all of the code: hooks, imports, names, pages."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import clustrix
from clustrix_core import errors, hookspecs
from clustrix_core.dispatch import Dispatch
from clustrix_core.plugins import JOBS, LISTENERS, MACHINES, Plugins
from tests.unit import toys

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["clustrix", "clustrix_core", *(path.name for path in sorted(ROOT.glob("plugins/*")))]


# -- hooks


def hooks() -> dict[str, FunctionType]:
    return {
        name: hook
        for name, hook in vars(hookspecs).items()
        if isinstance(hook, FunctionType) and hasattr(hook, "clustrix_spec")
    }


# How core calls each hook, with the words of its specification in their order.
CLUSTER = toys.cluster()
CALLS: dict[str, Callable[[Dispatch], Any]] = {
    "check": lambda ask: ask.check(CLUSTER),
    "provision": lambda ask: ask.provision(CLUSTER),
    "release": lambda ask: ask.release(CLUSTER),
    "render_script": lambda ask: ask.render_script(toys.job(), CLUSTER),
    "submit": lambda ask: ask.submit(toys.job(), "#!/bin/sh\n", CLUSTER),
    "find": lambda ask: ask.find(toys.job(), CLUSTER),
    "status": lambda ask: ask.status([toys.HANDLE], CLUSTER),
    "fetch": lambda ask: ask.fetch([toys.HANDLE], Path("/into"), CLUSTER),
    "logs": lambda ask: ask.logs(toys.HANDLE, CLUSTER, 5),
    "cancel": lambda ask: ask.cancel([toys.HANDLE], CLUSTER),
    "job_changed": lambda ask: ask.job_changed(toys.HANDLE, toys.RUNNING, toys.RUNNING, CLUSTER),
    "register_commands": lambda ask: ask.register_commands("a click.Group"),
}
GIVEN = {
    "cluster": CLUSTER,
    "job": toys.job(),
    "script": "#!/bin/sh\n",
    "handles": [toys.HANDLE],
    "handle": toys.HANDLE,
    "into": Path("/into"),
    "since": 5,
    "before": toys.RUNNING,
    "after": toys.RUNNING,
    "cli": "a click.Group",
}
ANSWERS = {
    "check": "[]",
    "provision": "cluster",
    "render_script": "'#!'",
    "submit": "JobHandle(job.id, job.name, '1')",
    "status": "{handle.job: JobStatus(JobState.RUNNING) for handle in handles}",
    "fetch": "{handle.job: Fetched() for handle in handles}",
    "logs": "LogChunk('', 0)",
}


def test_there_is_a_call_for_every_hook() -> None:
    assert CALLS.keys() | {"describe_backend"} == hooks().keys() == JOBS | MACHINES | LISTENERS | {"describe_backend"}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_hook_gets_exactly_the_arguments_of_its_specification(name: str) -> None:
    words = list(inspect.signature(hooks()[name]).parameters)
    answer = ANSWERS.get(name, "None")
    more = f"@hookimpl\ndef {name}({', '.join(words)}):\n    events.append(dict(locals()))\n    return {answer}\n"
    plugin = toys.backend("toy", more=more)
    plugins = Plugins()
    plugins.register(plugin, "toy")
    CALLS[name](Dispatch(plugins))
    assert plugin.events == [{word: GIVEN[word] for word in words}]


def test_a_backend_is_described_once_and_without_arguments() -> None:
    more = "@hookimpl\ndef describe_backend():\n    events.append('asked')\n    return BackendInfo('toy', Options)\n"
    plugin = toys.backend("toy", more=more)
    plugins = Plugins()
    plugins.register(plugin, "toy")
    assert plugins.backend("toy") is plugins.backend("toy") and plugin.events == ["asked"]
    assert list(inspect.signature(hookspecs.describe_backend).parameters) == []


@pytest.mark.parametrize("name", sorted(hooks()))
def test_every_hook_is_documented_and_typed(name: str) -> None:
    hook = hooks()[name]
    assert hook.__doc__ and hook.__doc__.strip().endswith(".")
    assert hook.__annotations__.keys() == {*inspect.signature(hook).parameters, "return"}


@pytest.mark.parametrize("name", sorted(hooks()))
def test_every_hook_is_on_its_page(name: str) -> None:
    page = (ROOT / "docs/hooks.md").read_text("utf-8")
    words = ", ".join(inspect.signature(hooks()[name]).parameters)
    assert f"### `{name}({words})`\n" in page
    first = " ".join((hooks()[name].__doc__ or "").replace("``", "`").split("\n\n")[0].split())
    assert first in page


def test_the_plugins_of_the_repository_take_the_arguments_as_specified() -> None:
    plugins = Plugins()
    plugins.load()
    assert {"local", "ssh", "slurm"} <= plugins.owners.keys() and plugins.broken == {}
    for backend in ("local", "ssh", "slurm"):
        plugin = plugins.manager.get_plugin(plugins.owners[backend])
        assert isinstance(plugin, ModuleType)
        for name in JOBS:
            mine, spec = inspect.signature(getattr(plugin, name)), inspect.signature(hooks()[name])
            assert [*mine.parameters] == [*spec.parameters]


# -- imports


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            yield found.name


# Each module is imported by a child of an interpreter that has imported nothing of ours.
# What others have written may be there already: it takes half of the time.
IMPORTER = """
import os, sys, traceback
import click, cloudpickle, paramiko, pluggy, rich.table, yaml
failed = 0
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            __import__(name)
        except BaseException:
            print(f"--- {name}", traceback.format_exc(), flush=True)
            os._exit(1)
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
sys.exit(failed != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_module_imports_alone_and_without_a_warning(tmp_path: Path) -> None:
    names = sorted(modules())
    shares = [names[number :: os.cpu_count() or 1] for number in range(os.cpu_count() or 1)]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", IMPORTER, *share], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        for share in shares
        if share
    ]
    said = [process.communicate()[0] for process in running]
    assert ([process.returncode for process in running], "".join(said)) == ([0] * len(running), "")


def fresh(code: str, cwd: Path) -> str:
    """What a new interpreter prints that stands somewhere else."""
    argv = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_clustrix_loads_next_to_nothing(tmp_path: Path) -> None:
    code = "import sys; before = set(sys.modules); import clustrix; print(*sorted(set(sys.modules) - before))"
    loaded = fresh(code, tmp_path).split()
    heavy = {"paramiko", "rich", "click", "yaml", "kubernetes", "boto3", "numpy", "cloudpickle", "pluggy", "sqlite3"}
    assert [name for name in loaded if name.split(".")[0] in heavy] == []
    assert {name for name in loaded if name.startswith("clustrix")} == {"clustrix", "clustrix_core"}


def test_decorating_loads_no_client_library(tmp_path: Path) -> None:
    code = """
        import sys
        from clustrix import cluster

        @cluster(cores=4, memory="8GB")
        def simulate(seed): ...

        print(*sys.modules)
    """
    loaded = {name.split(".")[0] for name in fresh(code, tmp_path).split()}
    assert loaded & {"paramiko", "rich", "click", "yaml", "kubernetes", "boto3", "numpy"} == set()


def test_only_the_kit_of_plugin_authors_needs_pytest() -> None:
    found = [path for package in ("clustrix", "clustrix_core") for path in (ROOT / package).rglob("*.py")]
    users = {path for path in found if re.search(r"^\s*(import|from) pytest\b", path.read_text("utf-8"), re.MULTILINE)}
    assert users and all(path.is_relative_to(ROOT / "clustrix_core/testing") for path in users)


# -- the face


def test_all_names_of_the_face_are_there() -> None:
    assert clustrix.__all__ == sorted(set(clustrix.__all__))
    assert set(dir(clustrix)) >= set(clustrix.__all__)
    missing = [name for name in clustrix.__all__ if getattr(clustrix, name, None) is None]
    assert missing == []


def test_type_checkers_see_the_same_names_as_the_interpreter() -> None:
    tree = ast.parse((ROOT / "clustrix/__init__.py").read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname or alias.name for node in imports for alias in node.names}
    assert seen | {"__version__"} == set(clustrix.__all__)


def test_every_error_is_a_name_of_the_face() -> None:
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    ours = {name for name, kind in kinds.items() if issubclass(kind, errors.ClustrixError)}
    assert ours <= set(clustrix.__all__)
    for name in ours:
        assert getattr(clustrix, name) is getattr(errors, name)


def test_the_tree_at_the_top_of_errors_is_the_tree() -> None:
    def drawn(kind: type) -> Iterator[str]:
        yield kind.__name__
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from drawn(child)

    lines = [re.match(r"[\s│├└─]*(\w+)", line) for line in (errors.__doc__ or "").splitlines()[2:]]
    assert [line[1] for line in lines if line] == list(drawn(errors.ClustrixError))


def test_a_star_import_brings_them_all_and_a_wrong_name_is_an_attribute_error(tmp_path: Path) -> None:
    code = "from clustrix import *; import clustrix; print(*[x for x in clustrix.__all__ if x not in globals()])"
    assert fresh(code, tmp_path).split() == []
    with pytest.raises(AttributeError, match="'clustrix' has no attribute 'clutser'"):
        clustrix.clutser  # noqa: B018


# -- the engine knows no backend by name


def sources() -> Iterator[Path]:
    for path in sorted((ROOT / "clustrix_core").rglob("*.py")):
        if "backends" not in path.relative_to(ROOT).parts:
            yield path


def comparisons(path: Path) -> Iterator[int]:
    """Lines on which a backend is compared with a name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(_is_backend(side) for side in sides) and any(_is_text(side) for side in sides):
                yield node.lineno
        elif isinstance(node, ast.Match) and _is_backend(node.subject):
            yield node.lineno


def _is_backend(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in ("backend", "backend_name", "cluster_type")


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(_is_text(item) for item in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != ""


# Where "this machine" and "a host" are told from everything else by name. BackendInfo could say it instead.
KNOWN = {"clustrix_core/config/cluster.py", "clustrix_core/engine/places.py"}


def test_core_compares_no_backend_with_a_name() -> None:
    found = {str(path.relative_to(ROOT)): list(comparisons(path)) for path in sources()}
    assert {path: lines for path, lines in found.items() if lines and path not in KNOWN} == {}


def test_such_a_comparison_would_be_found(tmp_path: Path) -> None:
    lines = ["if settings.backend == 'slurm': ...", "if backend in ('a', 'b'): ...", "if backend == other: ..."]
    (tmp_path / "x.py").write_text("\n".join(lines))
    assert list(comparisons(tmp_path / "x.py")) == [1, 2]


# -- pages


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in pages()])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readme_runs(tmp_path: Path) -> None:
    """On this machine, which poses as the smallest there is; with the values that its functions return."""
    (tmp_path / "clustrix.yml").write_text("clusters: {here: {backend: local, options: {slots: 1}}}\n")
    (text,) = blocks("README.md", "python")
    (tmp_path / "readme.py").write_text(f"{text}\nprint(job.result(), result)\n")
    env = {**os.environ, "HOME": str(tmp_path / "home"), "CLUSTRIX_HOME": str(tmp_path / "home" / "state")}
    env.pop("CLUSTRIX_CONFIG", None)
    (tmp_path / "home").mkdir()
    argv = [sys.executable, "-W", "error", "readme.py"]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["1000", "9990"]), done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_configurations_on_pages_are_accepted(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clustrix_core.config import load

    for name in [name for name in os.environ if name.startswith("CLUSTRIX")]:
        monkeypatch.delenv(name)
    found = blocks(page, "yaml")
    assert found
    for number, text in enumerate(found):
        file = tmp_path / f"{number}.yml"
        file.write_text(text)
        assert load(file).find("hpc").backend == "slurm"


def test_the_plugins_on_the_page_of_the_hooks_are_accepted() -> None:
    texts = enumerate(blocks("docs/hooks.md", "python"))
    wrapper, backend = (toys.module(f"clustrix_page_{number}", text) for number, text in texts)
    plugins = Plugins()
    plugins.register(toys.backend("toy"), "toy")
    plugins.register(wrapper, "wrapper")
    plugins.register(backend, "acme")
    ask = Dispatch(plugins)
    ask.submit(toys.job(), "#!/bin/sh\n", CLUSTER)
    ask.job_changed(toys.HANDLE, toys.RUNNING, toys.RUNNING, CLUSTER)
    assert wrapper.LOG[0].startswith(f"here: {toys.job().name} is toy-1, after 0.")
    assert wrapper.LOG[1:] == [f"{toys.HANDLE.name}: RUNNING"]
    acme = toys.cluster("acme", site=toys.SITE)
    assert f"#ACME --name={toys.job().name} --cores=1\n" in ask.render_script(toys.job(), acme)
