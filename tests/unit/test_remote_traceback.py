"""The remote traceback is shown on every Python, and displaces nothing of the exception's own chain."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from clustrix_core.engine.inbox import with_traceback

HEADER = {"traceback": 'Traceback (most recent call last):\n  File "user.py", line 3, in f\nOops: x\n', "host": "n1"}


class Oops(Exception):
    pass


class Slotted(Oops):
    __slots__ = ()


def alone() -> BaseException:
    return Oops("x")


def caused() -> BaseException:
    error = Oops("x")
    error.__cause__ = KeyError("the cause")
    return error


def in_context() -> BaseException:
    error = Oops("x")
    error.__context__ = KeyError("the context")
    return error


def hidden() -> BaseException:
    error = Oops("x")
    error.__context__, error.__suppress_context__ = KeyError("the context"), True
    return error


def circle() -> BaseException:
    error, other = Oops("x"), KeyError("the other")
    error.__cause__, other.__cause__ = other, error
    return error


def test_it_needs_no_traceback() -> None:
    error = Oops("x")
    assert with_traceback(error, {}) is error
    assert not hasattr(error, "remote_traceback") and error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("make", [alone, caused, in_context, hidden, circle])
def test_it_is_shown_and_nothing_is_displaced(make: Callable[[], BaseException]) -> None:
    error, same = make(), make()
    assert with_traceback(error, HEADER) is error
    assert error.remote_traceback == HEADER["traceback"].rstrip()  # type: ignore[attr-defined]
    assert error.args == same.args
    assert repr(error.__cause__) == repr(same.__cause__)
    if same.__context__ is not None:
        behind = error.__context__
        if make is hidden and sys.version_info < (3, 11):
            assert behind is not None
            behind = behind.__context__
        assert repr(behind) == repr(same.__context__)
    if sys.version_info >= (3, 11) or make is not circle:  # a circle has no end to put it at
        shown = "".join(traceback.format_exception(type(error), error, None))
        assert 'File "user.py", line 3, in f' in shown and "on n1" in shown
        assert ("the cause" in shown) == (make is caused)
        assert ("the context" in shown) == (make is in_context)


def test_lines_of_files_that_are_only_here_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "größe.py"
    file.write_text("def f():\n    raise  Oops\n", "utf-8")
    bare = f'Traceback:\n  File "{file}", line 2, in f\n  File "gone.py", line 1, in g\n    g()\nOops'
    error = with_traceback(Oops(), {"traceback": bare})
    expected = bare.replace("in f\n", "in f\n    raise  Oops\n")
    assert error.remote_traceback == expected  # type: ignore[attr-defined]
    again = with_traceback(Oops(), {"traceback": expected})
    assert again.remote_traceback == expected  # type: ignore[attr-defined]
    group = f'  | Many\n  +-+---- 1 ----\n    | Traceback\n    |   File "{file}", line 2, in f\n    | Oops'
    inner = with_traceback(Oops(), {"traceback": group})
    assert inner.remote_traceback == group.replace("in f\n", "in f\n    |     raise  Oops\n")  # type: ignore[attr-defined]


def test_a_class_without_room_for_attributes() -> None:
    error = with_traceback(Slotted("x"), HEADER)
    assert 'File "user.py"' in "".join(traceback.format_exception(type(error), error, None))
