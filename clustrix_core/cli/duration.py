"""Durations on the command line."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]*)")


class Duration(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Seconds of ``2.5``, ``90s``, ``5m``, ``2h``, ``7d``, ``1w`` or ``01:30:00``; zero is one too."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = _AMOUNT.fullmatch(value.strip().lower())
        if match and match[2] in _UNITS:
            return float(match[1]) * _UNITS[match[2]]
        from clustrix_core.errors import ConfigError
        from clustrix_core.quantities import parse_time

        try:
            return math.ceil(parse_time(value))
        except ConfigError:
            self.fail(f"{value!r} is not a duration: write 90s, 5m, 2h or 7d.", param, ctx)


DURATION = Duration()
