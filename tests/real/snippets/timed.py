"""Decorators of one's own, above and below @cluster, with functools.wraps and with arguments."""

import functools
import time

from clustrix import cluster


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        value = function(*args, **kwargs)
        return value, time.perf_counter() - start < 60

    return wrapper


def repeated(times):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return [function(*args, **kwargs) for _ in range(times)]

        return wrapper

    return decorate


@repeated(2)
@cluster
@timed
@repeated(3)
def area(width, height=2):
    """Return the area of a rectangle."""
    return width * height


if __name__ == "__main__":
    print(area(3), area(1, height=5), area.__name__, area.__doc__)
