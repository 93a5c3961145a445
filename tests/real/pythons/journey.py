"""A user's script, run by each Python here: its functions run on each Python there.

    python journey.py WORK_DIR VERSION=INTERPRETER...

Prints a JSON line for each combination: {"there": "3.6", "case": "plain function", "outcome": "ok"}. The outcome of a
refusal is the error; anything else that is not as it should be is a traceback.
"""

import datetime
import enum
import functools
import json
import os
import pathlib
import sys
import traceback
from dataclasses import dataclass, field

import luggage
from luggage.inner import area
from luggage.shapes import Square

from clustrix import ClusterConfig, PayloadError, cluster

try:
    import numpy as np
except ImportError:
    np = None

DATA = pathlib.PurePosixPath("/data")
OFFSET = 1
OFFSET += 1  # what counts is what it holds now
luggage.SCALE = 1


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Account:
    currency = "EUR"

    def __init__(self, owner: "str", color: Color):
        self.owner, self.color = owner, color

    def __eq__(self, other):
        return type(other) is Account and vars(other) == vars(self)

    def describe(self) -> "str":
        return f"{self.owner} {self.color.name} {self.currency}"


@dataclass
class Grid:
    size: int
    tags: list = field(default_factory=list)


class TooDeep(ValueError):
    def __init__(self, depth: int, where: str):
        super().__init__(f"{depth} m at {where}")
        self.depth, self.where = depth, where


def times(factor):
    def decorate(function):
        @functools.wraps(function)
        def wrapped(*args):
            return factor * function(*args)

        return wrapped

    return decorate


@times(10)
def shifted(x):
    return x + OFFSET


@cluster
def plain(x: "list[int]", when, place=DATA):
    def closed(y):
        return y if y <= 0 else len(x) + closed(y - 1)

    later = when + datetime.timedelta(days=1)
    return closed(3), shifted(x[0]), later, place / "a", {"a": (1, None, True)}, "{}.{}".format(*sys.version_info)


@cluster
def package(side):
    import luggage.shapes

    return area(side), luggage.shapes.Square(side).area(), Square(side)


@cluster
def with_class(account):
    return account, account.describe(), Color("b")


@cluster
def with_dataclass(grid):
    return Grid(grid.size + 1, ["new", *grid.tags])


@cluster
def raising(depth):
    try:
        {}["missing"]
    except KeyError as error:
        raise TooDeep(depth, "here") from error


@cluster
def consuming(count):
    def numbers():
        for number in range(count):
            yield number * OFFSET

    return sum(numbers()) + sum(x for x in range(3))


@cluster
def with_numpy(array, scale):
    return array * scale, array.dtype, np.float64(array.sum())


def check_plain(job, there):
    day = datetime.datetime(2024, 2, 29, 12)
    assert job.result() == (9, 70, day, pathlib.PurePosixPath("/data/a"), {"a": (1, None, True)}, there)


def check_package(job, there):
    value, squared, square = job.result()
    assert (value, squared, square.side) == (9, 9, 3) and type(square) is Square


def check_class(job, there):
    assert job.result() == (Account("ada", Color.RED), "ada RED EUR", Color.BLUE)


def check_dataclass(job, there):
    assert job.result() == Grid(3, ["new", "t"])


def check_exception(job, there):
    error = job.exception()
    assert type(error) is TooDeep and (error.depth, error.where, error.args) == (7, "here", ("7 m at here",)), error
    assert type(error.__cause__) is KeyError
    assert "journey.py" in error.remote_traceback and "raise TooDeep(depth" in error.remote_traceback


def check_generator(job, there):
    assert job.result() == 93


def check_numpy(job, there):
    array, dtype, total = job.result()
    assert type(array) is np.ndarray and (array == np.arange(6.0).reshape(2, 3) * 2).all()
    assert dtype == np.dtype("float64") and total == 15 and type(total) is np.float64


def cases(there, has_numpy):
    yield "plain function", plain, ([5, 6, 7], datetime.datetime(2024, 2, 28, 12)), check_plain
    yield "local package", package, (3,), check_package
    yield "class argument", with_class, (Account("ada", Color.RED),), check_class
    yield "dataclass argument", with_dataclass, (Grid(2, ["t"]),), check_dataclass
    yield "custom exception", raising, (7,), check_exception
    yield "generator inside", consuming, (10,), check_generator
    if np is not None and has_numpy:
        yield "numpy argument", with_numpy, (np.arange(6.0).reshape(2, 3), 2), check_numpy


def outcome(check, job, there):
    try:
        check(job, there)
    except PayloadError as error:
        return f"refused: {error}"
    except BaseException:
        return traceback.format_exc()
    return "ok"


def main():
    work_dir, *others = sys.argv[1:]
    jobs = []
    for word in others:
        there, _, python = word.partition("=")
        has_numpy = python.endswith("+numpy")
        where = json.loads(os.environ.get("CLUSTRIX_TEST_PLACE", "null")) or {"backend": "local", "work_dir": work_dir}
        place = ClusterConfig(name="python-" + there, python=python.replace("+numpy", ""), **where)
        for name, function, args, check in cases(there, has_numpy):
            jobs.append((there, name, check, function.options(cluster=place).submit(*args)))
    for there, name, check, job in jobs:
        print(json.dumps({"there": there, "case": name, "outcome": outcome(check, job, there)}), flush=True)


if __name__ == "__main__":
    main()
