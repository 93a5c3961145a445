"""A script that prints from inside, keeps a class inside of a function, and unpacks what comes back."""

from collections import namedtuple

from clustrix import cluster

FACTOR = 3
Row = namedtuple("Row", "x y")


@cluster
def tabulated(function, *points, **names):
    class Table:
        factor = FACTOR
        header = tuple(sorted(names))

        def rows(self):
            return [Row(x, self.factor * function(x)) for x in points]

    return Table().header, Table().rows()


if __name__ == "__main__":
    header, (first, *rest) = tabulated(lambda x: x * x - 1, 1, 2, 3, y="m", x="s")
    print(header, first, rest, first.y)
