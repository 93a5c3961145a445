"""What a job sees as ``clustrix``: decorated functions run in place, and what needs a cluster is refused."""

import functools
import importlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, NoReturn, Optional, Sequence


class CurrentJob:
    """The job that this process works for."""

    id = ""
    name: "Optional[str]" = None
    task = 0
    round = 0
    call = 0
    attempt = 0
    directory = ""
    cores: "Optional[int]" = None
    scheduler_id: "Optional[str]" = None

    def __init__(self, **data: "Any") -> None:
        self.__dict__.update(data)

    def __repr__(self) -> str:
        return "<job %s, call %d, task %d>" % (self.id, self.call, self.task)


# "<call> <path of its reports>": in the environment, so that all processes of a call have it.
REPORTS = "CLUSTRIX_PROGRESS"
_job: "Optional[CurrentJob]" = None


def current_job() -> "Optional[CurrentJob]":
    """Return the job that this process works for, None outside a job."""
    return _job


def enter(data: "Dict[str, Any]", run: str) -> None:
    """Say which call this process is about to run, and the name of the process."""
    global _job
    _job = CurrentJob(**data)
    os.environ[REPORTS] = "%d %s" % (data["call"], os.path.join(data["directory"], "progress-" + run))


def leave() -> None:
    """The call has ended: what it reported last is written."""
    reporter = sys.modules.get("clustrix_core.worker.reporter")
    if reporter is not None:
        reporter.flush()


def install(spec: "Dict[str, Any]") -> None:
    """Decide which ``clustrix`` the function will import: a real one of the client's version, else the facade."""
    os.environ["CLUSTRIX_JOB"] = spec["id"]
    version = spec.get("clustrix") or ""
    if version:
        for place in sys.path[1:]:
            if os.path.isdir(os.path.join(place, "clustrix-%s.dist-info" % version)) and _complete(sys.path[1:]):
                return
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "facade"))
    sys.meta_path.append(_Absent())


def _complete(places: "Sequence[str]") -> bool:
    """Let ``clustrix_core`` find what the worker has left out in the real one; False when there is none."""
    import clustrix_core

    finder = importlib.import_module("importlib.machinery").PathFinder
    real = finder.find_spec("clustrix_core", list(places))
    found = list(real.submodule_search_locations or ()) if real else []
    worker = importlib.import_module("clustrix_core.worker")
    clustrix_core.__path__.extend(place for place in found if place not in clustrix_core.__path__)
    worker.__path__.extend(
        os.path.join(place, "worker") for place in found if place != os.path.dirname(worker.__path__[0])
    )
    return bool(found)


class _Absent:
    """Finds what of ``clustrix_core`` is not here: modules that hold the names of the facade.

    A function that mentions ``cluster`` or ``Resources`` is pickled with the module that these live in at home.
    """

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Return the spec of a module of ours that is not here."""
        if not name.startswith("clustrix_core."):
            return None
        return importlib.import_module("importlib.machinery").ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: "Any") -> None:
        """Leave that to Python."""

    def exec_module(self, module: "Any") -> None:
        """Give a module its names; what lies behind them is imported for who asks."""
        facade = importlib.import_module("clustrix")
        if sys.version_info >= (3, 7):
            module.__getattr__ = facade.__getattr__
            module.__dict__.update((name, facade.__dict__[name]) for name in facade.__all__ if name in facade.__dict__)
        else:
            module.__dict__.update((name, getattr(facade, name)) for name in facade.__all__)


class InPlace:
    """A decorated function in a job: calling it runs it here."""

    def __init__(self, function: "Callable[..., Any]", options: "Optional[Dict[str, Any]]" = None) -> None:
        functools.update_wrapper(self, function)
        self.local = function
        self._options = dict(options or {})

    def __call__(self, *args: "Any", **keywords: "Any") -> "Any":
        return self.local(*args, **keywords)

    def __get__(self, instance: "Any", owner: "Optional[type]" = None) -> "Any":
        bind = getattr(self.local, "__get__", None)
        return self if bind is None else InPlace(bind(instance, owner), self._options)

    def __reduce__(self) -> "Any":
        return restore, (self.local, self._options)

    def __repr__(self) -> str:
        return "<%r, in place>" % self.local

    def submit(self, *args: "Any", **keywords: "Any") -> "NoReturn":
        """Raise: there is no cluster here."""
        refuse("submit()", "Call the function itself: inside a job it runs in place.")

    def map(self, *args: "Any", **keywords: "Any") -> "NoReturn":
        """Raise: there is no cluster here."""
        refuse("map()", "Use the builtin map(), or multiprocessing for the cores of this job.")

    def options(self, **options: "Any") -> "InPlace":
        """Return the function with other options, which mean nothing in place."""
        return InPlace(self.local, dict(self._options, **options))


def cluster(*target: "Any", **options: "Any") -> "Any":
    """Return what runs the function in place; bare, with the name of a cluster, or with options."""
    if target and callable(target[0]):
        return InPlace(target[0], options)
    if target:
        options = dict(options, cluster=target[0])
    return lambda function: InPlace(function, options)


def restore(function: "Callable[..., Any]", options: "Optional[Dict[str, Any]]" = None) -> "Any":
    """Decorate a function with whichever ``clustrix`` there is: what a decorated function is pickled as."""
    decorate = importlib.import_module("clustrix").cluster
    return decorate(**options)(function) if options else decorate(function)


class Held:
    """Named values: what ``Resources(...)`` and ``ClusterConfig(...)`` are in a job, and are again at home."""

    def __init__(self, **values: "Any") -> None:
        self.__dict__.update(values)

    def but(self, **changes: "Any") -> "Held":
        """Return a copy with other values."""
        return type(self)(**dict(self.__dict__, **changes))

    def __reduce__(self) -> "Any":
        return functools.partial(type(self), **self.__dict__), ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __repr__(self) -> str:
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % item for item in self.__dict__.items()))


class Refused:
    """Something that cannot be had in a job."""

    def __init__(self, *args: "Any", **keywords: "Any") -> None:
        refuse(type(self).__name__, "Call the functions directly: inside a job they run in place.")


def refuse(what: str, hint: str) -> "NoReturn":
    """Raise InsideJobError."""
    errors = importlib.import_module("clustrix_core.errors")
    message = "%s needs a cluster, and none is configured inside a job" % what
    raise errors.InsideJobError(message, job=os.environ.get("CLUSTRIX_JOB"), hint=hint)
