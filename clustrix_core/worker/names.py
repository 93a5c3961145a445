"""The names in pickles: where what they mean is on this version of Python.

A class that has moved between versions is pickled by the name that it has where it is pickled: ``pathlib.PosixPath`` is
``pathlib._local.PosixPath`` to Python 3.13, what numpy 1 calls ``numpy.core`` is ``numpy._core`` to numpy 2.
"""

import importlib
import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Tuple

# Prefixes of modules, and where to look instead, in this order. numpy 2 still knows ``numpy.core``, and warns.
_MOVED = (
    ("pathlib._local", ("pathlib._local", "pathlib")),
    ("numpy._core", ("numpy._core", "numpy.core")),
    ("numpy.core", ("numpy._core", "numpy.core")),
)


def places(module: str) -> "Tuple[str, ...]":
    """Return the modules in which to look for what a pickle says is in ``module``."""
    for prefix, instead in _MOVED:
        if module == prefix or module.startswith(prefix + "."):
            return tuple(other + module[len(prefix) :] for other in instead)
    return (module,)


def resolve(module: str, name: str) -> "Any":
    """Return what a pickle means. Raises ImportError or AttributeError, as pickle would, where it is not here."""
    error: "Optional[Exception]" = None
    for place in places(module):
        try:
            value: "Any" = importlib.import_module(place)
            for part in name.split("."):
                value = getattr(value, part)
            return value
        except (ImportError, AttributeError) as problem:
            error = problem
    assert error is not None
    raise error


class Unpickler(pickle.Unpickler):
    """Finds what has moved, too."""

    def find_class(self, module: str, name: str) -> "Any":
        """Return what a name means."""
        if len(places(module)) > 1:
            return resolve(module, name)
        return super().find_class(module, name)
