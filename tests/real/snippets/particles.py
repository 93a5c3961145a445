"""Dataclasses and enums as arguments, as results, and as keys."""

from dataclasses import asdict, dataclass, field, replace
from enum import Enum, Flag, auto

from clustrix import cluster


class Charge(Enum):
    MINUS = -1
    NONE = 0
    PLUS = 1

    @property
    def other(self):
        return Charge(-self.value)


class Seen(Flag):
    TRACK = auto()
    SHOWER = auto()


@dataclass(frozen=True, order=True)
class Particle:
    mass: float
    charge: Charge = field(compare=False)
    seen: Seen = field(default=Seen.TRACK, compare=False)
    history: tuple = field(default=(), compare=False)


@cluster
def conjugated(particles):
    turned = [replace(one, charge=one.charge.other, history=(*one.history, "C")) for one in particles]
    return sorted(turned), {one.charge: one.mass for one in turned}


if __name__ == "__main__":
    event = [Particle(938.3, Charge.PLUS), Particle(0.5, Charge.MINUS, Seen.TRACK | Seen.SHOWER)]
    turned, masses = conjugated(event)
    print([asdict(one) for one in turned])
    print(masses[Charge.PLUS], turned[0].charge is Charge.PLUS, isinstance(turned[0], Particle))
