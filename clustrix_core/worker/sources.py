"""Functions that came as source: the user's modules made of the pieces of them that travelled, by this interpreter.

The file ``source`` is JSON (see ARCHITECTURE.md). What variables held is in it too, each pickled by itself.
"""

import base64
import io
import json
import sys
import types

from clustrix_core.worker import pickling, trees
from clustrix_core.worker.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Sequence

    Plan = Dict[str, Any]

_brought: "Dict[str, Sources]" = {}


def read(path: str) -> "Plan":
    """Return what a file ``source`` says."""
    with io.open(path, encoding="utf-8") as file:
        plan: "Plan" = json.load(file)
    return plan


def bring(plan: "Plan") -> None:
    """Make the modules importable, ``__main__`` at once."""
    pickling.by_name()
    _brought[""] = sources = Sources(plan)
    sys.meta_path.insert(0, sources)
    for name in plan["modules"]:
        sys.modules.pop(name, None)
    if "__main__" in plan["modules"]:
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        sources.exec_module(main)


def function(key: str) -> "Any":
    """Return a function that no name leads to, as good as new: ``complete`` gives it what it had."""
    return _brought[""].function(key)


def complete(made: "Any", state: "Dict[str, Any]") -> None:
    """Give a function its closure, its defaults and its attributes."""
    made.__dict__.pop("__clustrix_fill__")(state["closure"])
    made.__defaults__ = state["defaults"]
    made.__kwdefaults__ = state["keywords"]
    made.__dict__.update(state["attributes"])


class Sources:
    """Finds and fills the modules."""

    def __init__(self, plan: "Plan") -> None:
        self._plan = plan

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Return the spec of a module that came along."""
        module = self._plan["modules"].get(name)
        if module is None or name == "__main__":
            return None
        import importlib.machinery

        loader: "Any" = self
        return importlib.machinery.ModuleSpec(name, loader, origin=module["file"], is_package=module["package"])

    def create_module(self, spec: "Any") -> "Optional[types.ModuleType]":
        """Leave that to Python."""
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the statements that came, and put the variables in between to what they held."""
        plan = self._plan["modules"][module.__name__]
        module.__dict__["__file__"] = plan["file"]
        for step in plan["steps"]:
            if "text" in step:
                exec(trees.code_of(step, plan["file"], plan["postponed"]), module.__dict__)
            else:
                module.__dict__[step["name"]] = pickling.loads(Parts([base64.b64decode(step["pickle"])]))

    def function(self, key: str) -> "Any":
        """Return a function of its own, with the module that it was in for globals."""
        import importlib

        piece = self._plan["functions"][key]
        module = importlib.import_module(piece["module"])
        plan = self._plan["modules"][piece["module"]]
        room: "Dict[str, Any]" = {}
        exec(trees.factory_of(piece, piece["file"], plan["postponed"]), module.__dict__, room)
        made, fill = room["__clustrix_make"]()
        made.__name__, made.__qualname__ = piece["name"], piece["qualname"]
        made.__dict__["__clustrix_fill__"] = fill
        return made


def pieces(plan: "Plan") -> "Sequence[Any]":
    """Return (how to compile, piece, file, postponed) for all that is source."""
    found = []
    for module in plan["modules"].values():
        for step in module["steps"]:
            if "text" in step:
                found.append((trees.code_of, step, module["file"], module["postponed"]))
    for piece in plan["functions"].values():
        found.append((trees.factory_of, piece, piece["file"], plan["modules"][piece["module"]]["postponed"]))
    return found
