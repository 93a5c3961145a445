"""Run as `python -m lab.rain`: relative imports of the package, some of them only when it runs."""

from clustrix import cluster

from . import UNIT
from .tools import gauge


@cluster
def total(readings):
    from .tools.rounding import rounded

    return f"{rounded(gauge.summed(readings))} {UNIT}"


if __name__ == "__main__":
    print(total([1.25, 2.5, 0.333]))
