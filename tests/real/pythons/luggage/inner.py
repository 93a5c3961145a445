"""A module that imports its neighbours, and one of the standard library."""

from __future__ import annotations

from fractions import Fraction

from . import SCALE
from .shapes import Square as Sq

seen: list[int] = []


def area(side: int | float) -> Fraction:
    seen.append(1)
    return Fraction(Sq(side).area()) * SCALE * len(seen)
