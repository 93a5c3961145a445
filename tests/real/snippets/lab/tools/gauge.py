"""A module of the package that imports another one."""

from ..tools import rounding


def summed(readings):
    return sum(rounding.rounded(one) for one in readings)
