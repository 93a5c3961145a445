"""An option dataclass from a mapping: every value checked and converted, every error with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from clustrix_core.errors import ConfigError
from clustrix_core.options.convert import Unfit, choose, fit
from clustrix_core.options.origin import Origin
from clustrix_core.options.setting import Setting, settings
from clustrix_core.options.shown import wanted
from clustrix_core.quantities import quoted
from clustrix_core.resources import nearest

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any] | T | None, where: Origin | str = "") -> T:
    """Return an instance of an option dataclass; None is an empty mapping, an instance comes back as it is.

    Raises ConfigError for an unknown key (naming the nearest known one), a value that does not fit, and a missing one,
    with file and line where ``where`` knows them.
    """
    if isinstance(values, cls):
        return values
    origin = where if isinstance(where, Origin) else Origin(where)
    given = convert(cls, {} if values is None else values, origin)
    missing = [name for name, setting in settings(cls).items() if setting.required and name not in given]
    if missing:
        raise origin.error(f"{', '.join(missing)} must be given")
    try:
        return cls(**given)
    except ConfigError as error:
        raise origin.at(error.__dict__.get("field")).locate(error) from None
    except (TypeError, ValueError) as error:
        raise origin.error(str(error)) from error


def convert(cls: type, values: Any, origin: Origin) -> dict[str, Any]:
    """Return the given values, each as its field wants it; a None that the field has no use for is left out.

    Raises ConfigError as ``build`` does, but does not mind that something is missing.
    """
    if not isinstance(values, Mapping):
        raise origin.error(f"{quoted(values)} is not a mapping of names to values")
    known = settings(cls)
    given = {}
    for name, value in values.items():
        if name not in known:
            raise origin.at(name).error(f"unknown key {quoted(name)}", nearest(str(name), known))
        if value is not None or known[name].optional:
            given[name] = _checked(known[name], value, origin.at(name))
    return given


def _checked(setting: Setting, value: Any, origin: Origin) -> Any:
    try:
        fitted = fit(setting.type, value, origin, setting.kind, setting.name)
    except ConfigError as error:
        raise origin.locate(error) from None
    except Unfit as error:
        if error.part is None:
            raise origin.error(f"{_shown(setting, value)} is not {wanted(setting)}") from None
        # Without the value: what is inside a mapping may be a secret.
        message = f"{setting.name}: what is at {error.part!r} does not fit; {setting.name} is {wanted(setting)}"
        raise origin.at(error.part).error(message) from None
    for item in fitted if isinstance(fitted, (tuple, list, set, frozenset)) else (fitted,):
        _choice(setting, item, origin)
    return fitted


def _choice(setting: Setting, value: Any, origin: Origin) -> None:
    if not setting.choices or value is None:
        return
    try:
        choose(setting.choices, value)
    except Unfit:
        message = f"{_shown(setting, value)} is not {wanted(setting)}"
        raise origin.error(message, nearest(str(value), setting.choices)) from None


def _shown(setting: Setting, value: Any) -> str:
    return setting.name if setting.secret else f"{setting.name}={quoted(value)}"
