"""Classes that travel by value come back as themselves: the class that lives under their name wins over the copy."""

import importlib
import pickle
import sys
import types

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


def with_slots(cls: type, reduced: "Any") -> "Any":
    """Return how to pickle a class by value, its ``__slots__`` included, given how cloudpickle would: without them.

    Instances of such a class have no ``__dict__``, here nor there.
    """
    slots = cls.__dict__.get("__slots__")
    if slots is None or not isinstance(reduced, tuple) or reduced[0].__name__ != "_make_skeleton_class":
        return reduced
    if issubclass(cls, tuple):  # typing.NamedTuple sets them itself
        return reduced
    attributes, options = reduced[2][0], reduced[1][3]
    attributes.pop("__slots__", None)
    options["__slots__"] = slots if isinstance(slots, (str, dict)) else tuple(slots)
    for name in [name for name, value in attributes.items() if isinstance(value, types.MemberDescriptorType)]:
        del attributes[name]  # one whose name is private to the class
    return reduced


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
