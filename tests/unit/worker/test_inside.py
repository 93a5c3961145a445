"""What a job sees as ``clustrix`` where Clustrix is not installed, and which ``clustrix`` it gets where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix_core import __version__, errors
from clustrix_core.model import JobState
from clustrix_core.worker import bundle, inside
from tests.unit.worker.jobdir import JobDir, by_value, each, interpreters

PYTHONS = interpreters()
every_python = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)


def job(tmp_path: Path, source: str, **spec: Any) -> JobDir:
    # A version that is nowhere installed: the facade answers.
    return JobDir(tmp_path, **{"clustrix": "0.0.0", **spec}).function(by_value(source))


def result(job: JobDir, **options: Any) -> Any:
    job.run(**options)
    return job.only()["body"]


FACADE = """
import sys
sys.path.insert(0, sys.argv[1])
from clustrix_core.worker import inside
inside.install({"id": "1", "clustrix": "0.0.0"})
import clustrix
assert clustrix.__file__.startswith(sys.argv[1]), clustrix.__file__
"""


@every_python
def test_every_public_name_is_there_on(python: str, tmp_path: Path) -> None:
    names = sorted(clustrix.__all__)
    script = FACADE + f"from clustrix import {', '.join(names)}\n" if names else ""
    script += "from clustrix.config import ClusterConfig\nprint(sorted(clustrix.__all__) == sorted(sys.argv[2:]))"
    argv = [python, "-W", "error", "-c", script, str(JobDir(tmp_path).bundle), *names]
    said = subprocess.run(argv, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("True\n", "")


@every_python
def test_the_facade_behaves_on(python: str, tmp_path: Path) -> None:
    script = FACADE + (
        "import clustrix as c\n"
        "@c.cluster\n"
        "def f(x): return x + 1\n"
        "@c.cluster('hpc', cores=4)\n"
        "def g(x): 'text'; return f(x)\n"
        "class C:\n"
        "    @c.cluster(cores=2)\n"
        "    def m(self, x): return self, x\n"
        "o = C()\n"
        "assert (f(1), g(1), f.local(2), g.options(cores=2)(1), g.__name__) == (2, 2, 3, 2, 'g')\n"
        "assert o.m(3) == (o, 3)\n"
        "for refused in (lambda: f.submit(1), lambda: f.map([1]), lambda: g.options(cores=1).submit(1),\n"
        "                c.Executor, c.configure, lambda: c.get_job('1'), c.jobs, c.Job, c.Map):\n"
        "    try: refused()\n"
        "    except c.InsideJobError as error: assert 'inside a job' in str(error) and error.hint, error\n"
        "    else: raise AssertionError(refused)\n"
        "assert c.current_job() is None\n"
        "assert c.Resources(cores=2).but(memory='8GB') == c.Resources(cores=2, memory='8GB')\n"
        "assert c.ClusterConfig(host='h').host == 'h'\n"
        "assert c.JobState.LOST == 'LOST' and c.JobState('PENDING') is c.JobState.PENDING\n"
        "assert 'cluster' in dir(c) and c.__version__\n"
        "try: c.nosuch\n"
        "except AttributeError: pass\n"
    )
    argv = [python, "-W", "error", "-c", script, str(JobDir(tmp_path).bundle)]
    said = subprocess.run(argv, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")


def test_the_facade_knows_all_errors_and_states() -> None:
    from clustrix_core.worker.facade import clustrix as facade

    known = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert set(facade._ERRORS) == known
    assert [state.value for state in JobState] == list(facade._STATES)
    assert facade.__version__ == __version__


def test_a_job_knows_itself(tmp_path: Path) -> None:
    source = (
        "def f(x):\n"
        "    from clustrix import current_job\n"
        "    import os\n"
        "    job = current_job()\n"
        "    return {**vars(job), 'env': os.environ['CLUSTRIX_JOB'], 'text': repr(job)}\n"
    )
    made = JobDir(tmp_path, cores=3).function(by_value(source), each(range(2)))
    made.run()
    assert made.values()[1] == {
        "id": made.id,
        "name": made.spec["name"],
        "task": 0,
        "round": 0,
        "call": 1,
        "attempt": 0,
        "directory": str(made.path),
        "cores": 3,
        "scheduler_id": "77",
        "env": made.id,
        "text": f"<job {made.id}, call 1, task 0>",
    }


def test_a_decorated_function_comes_with_its_decorator(tmp_path: Path) -> None:
    source = (
        "def f(n):\n"
        "    import clustrix\n"
        "    return type(g).__name__, g(n), clustrix.cluster(len)([1, 2])\n"
        "def plain(x): return 10 * x\n"
        "from clustrix_core.worker.inside import InPlace\n"
        "g = InPlace(plain, {'cores': 2})\n"
    )
    made = JobDir(tmp_path, clustrix="0.0.0").function(by_value(source), [(4,)])
    made.run()
    assert made.only()["body"] == ("InPlace", 40, 2)


def test_a_function_may_mention_anything_public_where_clustrix_is_not_installed(tmp_path: Path) -> None:
    source = (
        "import clustrix\n"
        "from clustrix import JobState, JobFailed, Resources, cluster, current_job\n"
        "needs = Resources(cores=2, memory='1GB')\n"
        "@cluster(cores=3)\n"
        "def neighbour(x): return x + 1\n"
        "def f(x):\n"
        "    @cluster\n"
        "    def inner(y): return 10 * y\n"
        "    said = JobState.LOST == 'LOST', JobFailed('a').args, current_job().call\n"
        "    return (inner(neighbour(x)), needs.cores) + said\n"
    )
    made = JobDir(tmp_path, clustrix="0.0.0").function(by_value(source), [(4,)])
    assert made.run(env={"PYTHONPATH": ""})[0] == 0, made.only()
    assert made.only()["body"] == (50, 2, True, ("a",), 0)


def test_restore_decorates_with_the_clustrix_there_is() -> None:
    decorated = inside.restore(len, {})
    assert decorated.local is len and type(decorated) is type(clustrix.cluster(len))


def test_a_real_clustrix_of_the_same_version_is_used(tmp_path: Path) -> None:
    source = (
        "def f():\n"
        "    import clustrix, clustrix_core.model, clustrix_core.worker.inside as inside\n"
        "    return clustrix.__file__, inside.__file__, clustrix.current_job().call, clustrix.JobState.__module__\n"
    )
    place = tmp_path / "site"
    site = [f"clustrix-{__version__}.dist-info"]
    for name in site:
        (place / name).mkdir(parents=True)
    for name in ("clustrix", "clustrix_core"):
        (place / name).symlink_to(Path(__file__).resolve().parents[3] / name)
    made = job(tmp_path, source, clustrix=__version__)
    face, worker, call, module = result(made, env={"PYTHONPATH": str(place)})
    assert face.startswith(str(place)) and worker.startswith(str(made.bundle))
    assert (call, module) == (0, "clustrix_core.model")


def test_a_clustrix_of_another_version_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "site" / "clustrix-0.1.1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "clustrix").mkdir()
    (tmp_path / "site" / "clustrix" / "__init__.py").write_text("")
    made = job(tmp_path, "def f():\n    import clustrix\n    return clustrix.__file__", clustrix=__version__ + ".x")
    assert result(made, env={"PYTHONPATH": str(tmp_path / "site")}).startswith(str(made.bundle))


def test_the_cloudpickle_that_travels_is_the_one_that_is_used(tmp_path: Path) -> None:
    made = job(tmp_path, "def f():\n    import cloudpickle\n    return cloudpickle.__file__")
    assert result(made).startswith(str(made.bundle))


# -- the bundle


def test_the_bundle_holds_what_the_worker_needs_and_no_more() -> None:
    names = set(bundle.files())
    assert {"__main__.py", "clustrix_core/__init__.py", "clustrix_core/errors.py", "cloudpickle/__init__.py"} <= names
    assert "clustrix_core/worker/facade/clustrix/__init__.py" in names
    allowed = ("clustrix_core/worker/", "cloudpickle/")
    rest = {name for name in names if not name.startswith(allowed)}
    assert rest == {"__main__.py", "clustrix_core/__init__.py", "clustrix_core/errors.py"}
    assert "clustrix_core/worker/bundle.py" not in names and not any("__pycache__" in name for name in names)


def test_the_digest_names_the_content() -> None:
    assert bundle.digest() == bundle.digest() and len(bundle.digest()) == 16
    assert int(bundle.digest(), 16) >= 0


def test_an_unknown_command_says_what_there_is(tmp_path: Path) -> None:
    for words in ([], ["nosuch"], ["run", "0"]):
        said = subprocess.run(JobDir(tmp_path, f"{len(words):08x}").argv(*words), capture_output=True, text=True)
        assert said.returncode == 2 and "start ROUND SLOTS" in said.stderr


def test_a_python_with_nothing_installed_is_enough(tmp_path: Path) -> None:
    made = job(tmp_path, "def f():\n    import sys\n    return [path for path in sys.path if 'site-packages' in path]")
    argv = [sys.executable, "-S", "-E", "-W", "error", str(made.bundle), "run", "0", "0"]
    assert subprocess.run(argv, cwd=made.path).returncode == 0
    assert made.only()["body"] == []
