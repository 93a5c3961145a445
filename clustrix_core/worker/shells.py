"""The user's own modules over there: made from what they held where the function came from, or from their source.

They are in ``sys.modules``, so that imports inside functions, and whatever else goes by names, find them.
"""

import importlib
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Sequence, Tuple

    Filling = Tuple[str, Dict[str, Any], Dict[str, Any], Dict[str, str]]
    Source = Tuple[bytes, str, bool]

_made: "Dict[str, Shell]" = {}


class Shell(types.ModuleType):
    """A module that was not imported but filled."""

    def __reduce__(self) -> "Any":
        return known, (self.__name__,)


def shell(name: str) -> "Shell":
    """Return the module of that name, empty as long as nobody has filled it."""
    if name not in _made:
        _made[name] = Shell(name)
        if name not in sys.modules:  # the interpreter's own modules go on being what they are
            sys.modules[name] = _made[name]
    return _made[name]


def variables(name: str) -> "Dict[str, Any]":
    """Return what a function of that module has as its globals."""
    return shell(name).__dict__


def known(name: str) -> types.ModuleType:
    """Return the module of that name as it is here: what a shell is pickled as."""
    try:
        return sys.modules.get(name) or importlib.import_module(name)
    except Exception:
        return Shell(name)


def bring(sources: "Dict[str, Source]", fillings: "Sequence[Filling]", value: "Any") -> "Any":
    """Make modules of what travelled in front of a value, and return the value."""
    _sources.add(sources)
    for name, facts, contents, absent in fillings:
        _fill(name, facts, contents, absent)
    return value


def _fill(name: str, facts: "Dict[str, Any]", contents: "Dict[str, Any]", absent: "Dict[str, str]") -> None:
    module = shell(name)
    module.__dict__.update(facts)
    module.__dict__.update(contents)
    if absent and "__getattr__" not in contents:
        module.__dict__["__getattr__"] = _Absent(name, absent)
    parent, _, child = name.rpartition(".")
    if parent in _made:
        setattr(_made[parent], child, module)
    _pickle_by_value(module)


class _Absent:
    """Says of a variable that could not travel why."""

    def __init__(self, module: str, reasons: "Dict[str, str]") -> None:
        self._module = module
        self._reasons = reasons

    def __call__(self, name: str) -> "Any":
        reason = self._reasons.get(name)
        if reason is None:
            raise AttributeError("module %r has no attribute %r" % (self._module, name))
        raise AttributeError("%s.%s could not travel to this job: %s" % (self._module, name, reason))


class Missing(types.ModuleType):
    """A module that cannot be imported here. Who uses it gets to know that."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(name)
        self.__dict__["_error"] = error

    def __getattr__(self, name: str) -> "Any":
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        where = "Python %d.%d on %s" % (sys.version_info[0], sys.version_info[1], os.uname().nodename)
        message = "%s cannot import the module %r: %s" % (where, self.__name__, self._error)
        raise ModuleNotFoundError(message, name=self.__name__) from self._error

    def __reduce__(self) -> "Any":
        return imported, (self.__name__,)


def imported(name: str) -> types.ModuleType:
    """Import a module that may not be needed."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        return Missing(name, error)


class _Sources:
    """Finds the modules that came as source."""

    def __init__(self) -> None:
        self._known: "Dict[str, Source]" = {}

    def add(self, sources: "Dict[str, Source]") -> None:
        if sources and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._known.update(sources)

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in self._known:
            return None
        source, file, is_package = self._known[name]
        util = importlib.import_module("importlib.util")
        return util.spec_from_loader(name, _Loader(source, file), origin=file, is_package=is_package)


class _Loader:
    def __init__(self, source: bytes, file: str) -> None:
        self._source = source
        self._file = file

    def create_module(self, spec: "Any") -> "Optional[types.ModuleType]":
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__["__file__"] = self._file
        exec(compile(self._source, self._file, "exec", dont_inherit=True), module.__dict__)
        _pickle_by_value(module)

    def get_source(self, name: str) -> str:
        util = importlib.import_module("importlib.util")
        text: str = util.decode_source(self._source)
        return text


def _pickle_by_value(module: types.ModuleType) -> None:
    """Let results carry along what they need of this module: who reads them may not have it."""
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is not None and sys.modules.get(module.__name__) is module:
        cloudpickle.register_pickle_by_value(module)


_sources = _Sources()
