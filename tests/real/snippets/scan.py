"""functools.partial: as what is called, as an argument, and as a sort key."""

from functools import partial, reduce
from operator import attrgetter, itemgetter, mul

from clustrix import cluster


def power(base, exponent, *, offset=0):
    return base**exponent + offset


square = partial(power, exponent=2)


@cluster
def table(function, numbers):
    rows = [(n, function(n), square(n)) for n in numbers]
    return sorted(rows, key=itemgetter(1), reverse=True), reduce(mul, numbers), attrgetter("real")(3)


if __name__ == "__main__":
    print(table(partial(power, exponent=3, offset=-1), [-2, 1, 3]))
