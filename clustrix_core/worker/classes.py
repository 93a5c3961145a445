"""Classes that travel by value come back as themselves: the class that lives under their name wins over the copy."""

import importlib
import pickle
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def reduce_class(cls: type, reduced: "Any", dumps: "Callable[[Any], bytes]") -> "Any":
    """Return how to pickle a class, given how cloudpickle would.

    A class inside a function has no name that could be found again, and a class that cloudpickle sends by reference
    needs none. The copy is a pickle of its own, so that nothing of it is built where the class is found.
    """
    by_value = isinstance(reduced, tuple) and len(reduced) > 2
    if not by_value or "<locals>" in cls.__qualname__:
        return reduced
    return own_class, (cls.__module__, cls.__qualname__, dumps(cls))


def own_class(module: str, qualname: str, copy: bytes) -> "Any":
    """Return the class of that name that lives here, else build the copy."""
    try:
        found: "Any" = sys.modules.get(module) or importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
        if isinstance(found, type):
            return found
    except Exception:
        # Whatever its module does when imported here: the copy needs none of it.
        pass
    return pickle.loads(copy)
