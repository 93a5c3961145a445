"""Exceptions travel with their class, arguments, attributes and whole chain, whatever their ``__init__`` takes."""

import builtins
import copyreg
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

    Link = Tuple[Optional[int], Optional[int], bool]

_BUILTIN = frozenset(value for value in vars(builtins).values() if isinstance(value, type))
_GROUP = getattr(builtins, "BaseExceptionGroup", ())
# What attributes of builtin exceptions may be beside their arguments. ``NameError.obj`` may be anything: it stays.
_SIMPLE = (str, bytes, int, float, bool)


class Chain:
    """An exception with all that its cause and context lead to, the members of groups included.

    It is pickled flat, so that neither a circle nor a thousand exceptions in a row are a problem, and it is unpickled
    as the exception.
    """

    def __init__(self, error: BaseException) -> None:
        self.errors = _closure(error)
        # For each one where its cause and its context are among them, and whether its context is hidden.
        place = {id(error): number for number, error in enumerate(self.errors)}
        self._links = [
            (place.get(id(error.__cause__)), place.get(id(error.__context__)), error.__suppress_context__)
            for error in self.errors
        ]

    def stand_in(self, place: int, other: BaseException) -> None:
        """Put another exception in the place of one."""
        self.errors[place] = other

    def __reduce__(self) -> "Tuple[Any, ...]":
        return link, (self.errors, self._links)


def link(errors: "List[BaseException]", links: "List[Link]") -> BaseException:
    """Tie exceptions together again and return the first."""
    for error, (cause, context, hidden) in zip(errors, links):
        error.__context__ = None if context is None else errors[context]
        error.__cause__ = None if cause is None else errors[cause]
        error.__suppress_context__ = hidden
    return errors[0]


def reduce_exception(error: BaseException, protocol: int) -> "Any":
    """Return how to pickle an exception, its chain left out."""
    cls = type(error)
    base = builtin_base(cls)
    if cls in copyreg.dispatch_table:
        return copyreg.dispatch_table[cls](error)
    if _has_own_reduce(cls, base):
        reduced = _tried(error, protocol)
        if reduced is not None:
            return reduced
    args = base.__reduce__(error)[1]
    assert isinstance(args, tuple)
    return rebuild_exception, (cls, args, error.args, _new_args(error), _members(error, base)), _state(error)


def rebuild_exception(
    cls: "Type[BaseException]",
    init: "Sequence[Any]",
    args: "Sequence[Any]",
    new: "Optional[Tuple[Sequence[Any], Dict[str, Any]]]",
    members: "Dict[str, Any]",
) -> BaseException:
    """Build an exception without calling the ``__init__`` of its class, whose arguments nobody has kept."""
    base = builtin_base(cls)
    if new is not None:
        error = cls.__new__(cls, *new[0], **new[1])
    else:
        try:
            error = base.__new__(cls, *init)
        except TypeError:  # a class in between, written in C, insists on its own
            error = cls.__new__(cls, *init)
    base.__init__(error, *init)
    error.args = tuple(args)
    for name, value in members.items():
        try:
            setattr(error, name, value)
        except (AttributeError, TypeError):  # read-only, or unknown to this version of Python
            pass
    return error


def builtin_base(cls: "Type[BaseException]") -> "Type[BaseException]":
    """Return the nearest class above that Python itself brings."""
    for base in cls.__mro__:
        if base in _BUILTIN and issubclass(base, BaseException):
            return base
    return BaseException


class Reducers:
    """A dispatch table that knows all exceptions, for picklers without ``reducer_override``."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol

    def __getitem__(self, cls: type) -> "Callable[[Any], Any]":
        if cls in copyreg.dispatch_table or not issubclass(cls, BaseException):
            return copyreg.dispatch_table[cls]
        return lambda error: reduce_exception(error, self._protocol)


def _closure(error: BaseException) -> "List[BaseException]":
    found, seen = [error], {id(error)}
    for known in found:  # grows while it is walked
        members = getattr(known, "exceptions", ()) if isinstance(known, _GROUP) else ()
        for other in (known.__cause__, known.__context__) + tuple(members):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                found.append(other)
    return found


def _has_own_reduce(cls: type, base: type) -> bool:
    return any(getattr(cls, name) is not getattr(base, name) for name in ("__reduce__", "__reduce_ex__"))


def _tried(error: BaseException, protocol: int) -> "Any":
    """Return what the class itself says how to pickle it, if an exception of that class comes out of it."""
    try:
        reduced = error.__reduce_ex__(protocol)
        if isinstance(reduced, tuple) and type(reduced[0](*reduced[1])) is type(error):
            return reduced
    except Exception:
        pass
    return None


def _new_args(error: "Any") -> "Optional[Tuple[Sequence[Any], Dict[str, Any]]]":
    cls = type(error)
    try:
        if hasattr(cls, "__getnewargs_ex__"):
            new = error.__getnewargs_ex__()
        elif hasattr(cls, "__getnewargs__"):
            new = (error.__getnewargs__(), {})
        else:
            return None
        cls.__new__(cls, *new[0], **new[1])
    except Exception:
        return None
    return tuple(new[0]), dict(new[1])


def _members(error: BaseException, base: type) -> "Dict[str, Any]":
    """Return what the builtin class keeps outside ``__dict__``: ``errno``, ``lineno``, ``name``."""
    found = {}
    for cls in base.__mro__:
        if cls in (BaseException, object):
            break
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType) and not name.startswith("_"):
                value = getattr(error, name, None)
                if type(value) in _SIMPLE:
                    found[name] = value
    return found


def _state(error: BaseException) -> "Optional[Dict[str, Any]]":
    state = dict(error.__dict__)
    for cls in type(error).__mro__:
        if cls.__module__ == "builtins":
            continue
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType):
                try:
                    state[name] = member.__get__(error, cls)
                except AttributeError:  # an empty slot
                    pass
    return state or None
