"""A user's script, run by each Python here: its functions run on each Python there.

    python journey.py WORK_DIR VERSION=INTERPRETER...

All cases of one Python there are calls of one map: each travels and comes back by itself. An interpreter that is
followed by ``+numpy`` has it. Prints a JSON line for each combination:
{"there": "3.6", "case": "plain function", "outcome": "ok"}. The outcome of a refusal is the error; anything else that
is not as it should be is a traceback.
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

from clustrix import ClusterConfig, PayloadError, cluster, cluster_ls, current_job, report_progress

try:
    import numpy as np
except ImportError:
    np = None

DATA = pathlib.PurePosixPath("/data")
PLACE = ClusterConfig(backend="local", python="python3.9", work_dir="/data")
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


def plain(x: "list[int]", when, place=DATA):
    def closed(y):
        return y if y <= 0 else len(x) + closed(y - 1)

    later = when + datetime.timedelta(days=1)
    return closed(3), shifted(x[0]), later, place / "a", {"a": (1, None, True)}, "{}.{}".format(*sys.version_info)


def package(side):
    import luggage.shapes

    return area(side), luggage.shapes.Square(side).area(), Square(side)


def with_class(account):
    return account, account.describe(), Color("b")


def with_dataclass(grid):
    return Grid(grid.size + 1, ["new", *grid.tags])


def raising(depth):
    try:
        {}["missing"]
    except KeyError as error:
        raise TooDeep(depth, "here") from error


def consuming(count):
    def numbers():
        for number in range(count):
            yield number * OFFSET

    return sum(numbers()) + sum(x for x in range(3))


def inside(config):
    from clustrix import cluster_exists

    report_progress(1, 2)
    return config, config.python, current_job().id, cluster_exists("."), sorted(set(cluster_ls("/")) & {"bin", "etc"})


def with_numpy(array, scale):
    return array * scale, array.dtype, np.float64(array.sum())


@cluster
def run(case, args):
    return case(*args)


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


def check_inside(job, there):
    config, python, id, *seen = job.result()
    assert config == PLACE and type(config) is ClusterConfig and python == PLACE.python
    assert len(id) == 16 and seen == [True, ["bin", "etc"]]


def check_numpy(job, there):
    array, dtype, total = job.result()
    assert type(array) is np.ndarray and (array == np.arange(6.0).reshape(2, 3) * 2).all()
    assert dtype == np.dtype("float64") and total == 15 and type(total) is np.float64


def cases(has_numpy):
    yield "plain function", plain, ([5, 6, 7], datetime.datetime(2024, 2, 28, 12)), check_plain
    yield "local package", package, (3,), check_package
    yield "class argument", with_class, (Account("ada", Color.RED),), check_class
    yield "dataclass argument", with_dataclass, (Grid(2, ["t"]),), check_dataclass
    yield "custom exception", raising, (7,), check_exception
    yield "generator inside", consuming, (10,), check_generator
    yield "clustrix inside", inside, (PLACE,), check_inside
    if np is not None and has_numpy:
        yield "numpy argument", with_numpy, (np.arange(6.0).reshape(2, 3), 2), check_numpy


def outcome(check, done, there):
    try:
        check(done, there)
    except PayloadError as error:
        return f"refused: {error}"
    except BaseException:
        return traceback.format_exc()
    return "ok"


def main():
    work_dir, *others = sys.argv[1:]
    maps = []
    for word in others:
        there, _, python = word.partition("=")
        has_numpy = python.endswith("+numpy")
        where = json.loads(os.environ.get("CLUSTRIX_TEST_PLACE", "null")) or {"backend": "local", "work_dir": work_dir}
        place = ClusterConfig(name="python-" + there, python=python.replace("+numpy", ""), **where)
        chosen = list(cases(has_numpy))
        # A refusal is one of the whole map: what Python 3.6 cannot take goes by itself.
        apart = [one for one in chosen if (there, one[0]) == ("3.6", "dataclass argument")]
        for some in (apart, [one for one in chosen if one not in apart]):
            if some:
                functions, args = [one[1] for one in some], [one[2] for one in some]
                maps.append((there, some, run.options(cluster=place).map(functions, args)))
    for there, some, calls in maps:
        for done in sorted(calls.as_completed(), key=lambda done: done.index):
            name, _, _, check = some[done.index]
            print(json.dumps({"there": there, "case": name, "outcome": outcome(check, done, there)}), flush=True)


if __name__ == "__main__":
    main()
