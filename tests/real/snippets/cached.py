"""A helper that remembers what it has worked out: functools.lru_cache and cached_property."""

from functools import cache, cached_property

from clustrix import cluster


@cache
def ways(n, largest):
    if n == 0:
        return 1
    return sum(ways(n - part, part) for part in range(1, min(n, largest) + 1))


@cache
def squares():
    return [n * n for n in range(50)]


class Series:
    def __init__(self, n):
        self.n = n

    @cached_property
    def partitions(self):
        return ways(self.n, self.n)


@cluster
def count(series):
    return series.partitions, ways(10, 10), ways.cache_info().maxsize, squares()[7]


if __name__ == "__main__":
    print(count(Series(60)))
