"""Exceptions and classes: they come back as themselves, wherever they were made."""

from __future__ import annotations

import builtins
import copyreg
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import types
import urllib.error
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.errors import JobError, RemoteError
from clustrix_core.worker import blobs, outcome, pickling
from clustrix_core.worker.exceptions import Chain
from clustrix_core.worker.parts import Parts
from tests.unit.worker.jobdir import by_value

ROOT = Path(__file__).resolve().parents[3]

NO_STORE = blobs.Store("/nowhere")  # none of these values holds a file


class TwoArguments(Exception):
    def __init__(self, first: int, second: str) -> None:
        super().__init__(f"{first} of {second}")
        self.first, self.second = first, second


class KeywordOnly(ValueError):
    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class Silent(Exception):
    """Calls no base class."""

    def __init__(self, value: int) -> None:
        self.value = value


class Slotted(Exception):
    __slots__ = ("_Slotted__hidden", "empty", "place")

    def __init__(self, place: int) -> None:
        super().__init__(f"at {place}")
        self.place = place
        self.__hidden = place + 1

    @property
    def hidden(self) -> int:
        return self.__hidden


class OwnReduce(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("own")
        self.sum = one + two

    def __reduce__(self) -> Any:
        return _remake, (self.sum,)


def _remake(total: int) -> OwnReduce:
    return OwnReduce(total, 0)


class BrokenReduce(TwoArguments):
    def __reduce__(self) -> Any:
        return BrokenReduce, ("only one",)


class OwnState(Exception):
    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state, restored=True)


class OwnNew(Exception):
    def __new__(cls, number: int, *, unit: str) -> OwnNew:
        self = super().__new__(cls, number)
        self.unit = unit
        return self

    def __init__(self, number: int, *, unit: str) -> None:
        super().__init__(f"{number} {unit}")

    def __getnewargs_ex__(self) -> Any:
        return (1,), {"unit": self.unit}

    unit: str


class DiskError(OSError):
    def __init__(self, disk: str, errno: int) -> None:
        super().__init__(errno, "disk trouble", disk)
        self.disk = disk


class Registered(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a)
        self.b = b


copyreg.pickle(Registered, lambda error: (Registered, (error.args[0], error.b)))


def back(value: Any) -> Any:
    return pickling.loads(pickling.dump(value))


def caught(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def syntax_error() -> Any:
    compile("a = = 1", "file.py", "exec")


def decode_error() -> Any:
    b"\xff".decode("utf-8")


BUILTIN = [
    FileNotFoundError(2, "No such file", "a.txt"),
    OSError(18, "cross-device", "a", None, "b"),
    OSError("only text"),
    OSError(),
    caught(lambda: Path("/nosuch/file").read_bytes()),
    caught(lambda: socket.create_connection(("127.0.0.1", 1), 0.5)),
    caught(syntax_error),
    caught(decode_error),
    UnicodeEncodeError("ascii", "é", 0, 1, "no"),
    KeyError("k"),
    KeyError(("a", 1)),
    caught(lambda: __import__("nosuch_module")),
    ImportError("text", name="n", path="p"),
    StopIteration(5),
    StopAsyncIteration(),
    SystemExit(3),
    SystemExit("words"),
    SystemExit(),
    KeyboardInterrupt(),
    GeneratorExit(),
    MemoryError(),
    RecursionError("deep"),
    caught(lambda: [].nosuch),  # type: ignore[attr-defined]
    caught(lambda: undefined),  # type: ignore[name-defined]  # noqa: F821
    json.JSONDecodeError("bad", "doc", 2),
    subprocess.CalledProcessError(3, ["a", "b"], b"out", b"err"),
    subprocess.TimeoutExpired("cmd", 1.5),
    urllib.error.URLError("reason"),
    BlockingIOError(11, "again", 7),
    RuntimeError("a", {"b": [1]}),
]


def attributes(error: BaseException) -> dict[str, Any]:
    names = {
        name for cls in type(error).__mro__ for name, m in vars(cls).items() if type(m).__name__.endswith("scriptor")
    }
    own = {name: getattr(error, name, None) for name in names if not name.startswith("_")} | vars(error)
    return {name: value for name, value in own.items() if not callable(value) and name != "obj"}


@pytest.mark.parametrize("error", BUILTIN, ids=repr)
def test_a_builtin_exception_comes_back_with_all_it_knows(error: BaseException) -> None:
    again = back(error)
    assert type(again) is type(error)
    assert (again.args, str(again), attributes(again)) == (error.args, str(error), attributes(error))


def test_every_builtin_exception_class_comes_back() -> None:
    for cls in vars(builtins).values():
        if isinstance(cls, type) and issubclass(cls, BaseException):
            for args in [(), ("text",), (2, "text"), ("utf-8", b"x", 0, 1, "why"), ("g", [ValueError(1)])]:
                try:
                    error = cls(*args)
                except Exception:
                    continue
                assert (type(back(error)), str(back(error))) == (type(error), str(error))


def test_an_init_with_two_arguments_is_not_called_again() -> None:
    error = back(TwoArguments(1, "b"))
    assert (type(error), error.args, error.first, error.second) == (TwoArguments, ("1 of b",), 1, "b")


def test_an_init_with_keywords_only_is_not_called_again() -> None:
    error = back(KeywordOnly(code=7))
    assert (type(error), error.code, str(error), error.args) == (KeywordOnly, 7, "code 7", ())


def test_an_init_that_calls_no_base_keeps_its_arguments() -> None:
    error = back(Silent(4))
    assert (error.value, error.args) == (4, (4,))


def test_slots_come_back() -> None:
    error = back(Slotted(3))
    assert (error.place, error.hidden, hasattr(error, "empty")) == (3, 4, False)


def test_a_reduce_of_its_own_that_works_is_used() -> None:
    assert back(OwnReduce(2, 3)).sum == 5


def test_a_reduce_of_its_own_that_does_not_work_is_not() -> None:
    error = back(BrokenReduce(1, "b"))
    assert (type(error), error.first) == (BrokenReduce, 1)


def test_a_registered_reduce_is_used() -> None:
    assert back(Registered(1, 2)).b == 2


def test_a_setstate_of_its_own_is_used() -> None:
    error = OwnState("x")
    error.more = 1  # type: ignore[attr-defined]
    assert vars(back(error)) == {"more": 1, "restored": True}


def test_arguments_for_new_are_used() -> None:
    error = back(OwnNew(5, unit="km"))
    assert (error.unit, str(error)) == ("km", "5 km")


def test_a_subclass_of_oserror_keeps_errno_and_filename() -> None:
    error = back(DiskError("sda", 28))
    assert (error.disk, error.errno, error.filename, str(error)) == ("sda", 28, "sda", str(DiskError("sda", 28)))


def test_errors_of_clustrix_keep_their_data() -> None:
    error = back(JobError("text", job="1", log="the log", hint="do this"))
    assert (error.job, error.log, str(error)) == ("1", "the log", str(JobError("text", log="the log", hint="do this")))


def test_attributes_may_lead_back_to_the_exception() -> None:
    error = ValueError("x")
    error.owner = {"error": error}  # type: ignore[attr-defined]
    again = back(error)
    assert again.owner["error"] is again


def chain() -> BaseException:
    try:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise TwoArguments(1, "second")  # noqa: B904
        except TwoArguments as error:
            raise KeywordOnly(code=3) from error
    except KeywordOnly as last:
        return last


def test_the_whole_chain_comes_back() -> None:
    last = back(Chain(chain()))
    assert isinstance(last.__cause__, TwoArguments) and last.__suppress_context__
    assert last.__cause__ is last.__context__
    assert repr(last.__cause__.__context__) == "KeyError('first')"
    assert not last.__cause__.__suppress_context__


def test_a_hidden_context_stays_hidden() -> None:
    def hide() -> None:
        try:
            raise KeyError
        except KeyError:
            raise ValueError from None

    again = back(Chain(caught(hide)))
    assert again.__suppress_context__ and isinstance(again.__context__, KeyError) and again.__cause__ is None


def test_a_circle_of_causes_comes_back_as_a_circle() -> None:
    one, two = ValueError(1), ValueError(2)
    one.__cause__, two.__context__ = two, one
    again = back(Chain(one))
    assert again.__cause__.__context__ is again


def test_a_thousand_causes_in_a_row_come_back() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, 3000):
        later = ValueError(number)
        later.__cause__ = error
        error = later
    again, count = back(Chain(error)), 0
    while again is not None:
        again, count = again.__cause__, count + 1
    assert count == 3000


if sys.version_info >= (3, 11):  # new there: groups and notes

    def test_a_group_comes_back_with_the_causes_of_its_members() -> None:
        namespace: dict[str, Any] = {}
        exec(
            "Inner = ExceptionGroup\n"
            "class Errors(ExceptionGroup):\n"
            "    def __new__(cls, errors, code):\n"
            "        self = super().__new__(cls, 'code %d' % code, errors)\n"
            "        self.code = code\n"
            "        return self\n"
            "    def derive(self, errors):\n"
            "        return Errors(errors, self.code)\n",
            namespace,
        )
        member = chain()
        group = namespace["Errors"]([member, namespace["Inner"]("inner", [OSError(2, "x", "f")])], 5)
        group.add_note("a note")
        again = back(Chain(group))
        assert (again.code, again.message, again.__notes__) == (5, "code 5", ["a note"])
        assert isinstance(again.exceptions[0].__cause__, TwoArguments)
        assert again.exceptions[1].exceptions[0].filename == "f"

    def test_notes_come_back() -> None:
        error = ValueError("x")
        error.add_note("one")
        assert back(Chain(error)).__notes__ == ["one"]


plain = st.none() | st.integers() | st.text() | st.binary() | st.lists(st.integers())


@given(
    args=st.lists(plain).map(tuple),
    state=st.dictionaries(st.text(min_size=1).filter(lambda name: name[:2] != "__"), plain),
)
def test_any_arguments_and_attributes_come_back(args: tuple[Any, ...], state: dict[str, Any]) -> None:
    for cls in (Exception, KeyError, Silent, TwoArguments):
        error = cls.__new__(cls, *args)
        error.__dict__.update(state)
        again = back(error)
        assert (type(again), again.args, vars(again)) == (cls, args, state)


# -- what becomes of a call that raised


def test_an_exception_that_cannot_be_pickled_goes_as_text() -> None:
    error = ValueError("with a lock", threading.Lock())
    ended = outcome.raised(error)
    assert (ended.header["kind"], ended.header["type"], ended.body) == ("error-text", "ValueError", None)
    assert "with a lock" in ended.header["message"]


def test_a_cause_that_cannot_be_pickled_goes_as_text_and_the_exception_as_itself() -> None:
    error = KeyError("k")
    error.__cause__ = ValueError(threading.Lock())
    error.__cause__.__cause__ = OSError(2, "x")
    ended = outcome.raised(error)
    assert ended.header["kind"] == "error" and ended.body is not None
    again = pickling.loads(ended.body)
    assert isinstance(again, KeyError) and isinstance(again.__cause__, RemoteError)
    assert again.__cause__.type_name == "ValueError" and isinstance(again.__cause__.__cause__, OSError)


def test_an_exception_whose_str_raises_can_be_told() -> None:
    source = "class Rude(Exception):\n    def __str__(self): raise KeyError\ndef f(): raise Rude()"
    ended = outcome.raised(caught(by_value(source)))
    assert "KeyError" in ended.header["message"] and "Rude" in ended.header["traceback"]


def test_the_traceback_shows_the_users_lines_and_nothing_of_clustrix() -> None:
    source = (
        "def g():\n    raise ValueError('deep')\ndef f():\n    try:\n        g()\n    except ValueError:\n        g()\n"
    )
    from clustrix_core.worker.inside import InPlace

    ended = outcome.raised(caught(InPlace(by_value(source, module="simulate"))), {"/home/ada/simulate.py": source})
    text = ended.header["traceback"]
    assert text.count("File \"/home/ada/simulate.py\", line 2, in g\n    raise ValueError('deep')") == 2
    assert "clustrix_core" not in text and "During handling" in text


def test_a_huge_message_is_cut() -> None:
    ended = outcome.raised(ValueError("x" * 10_000_000))
    assert len(ended.header["message"]) < 20_000 and len(ended.header["traceback"]) < 300_000


# -- classes that travel by value


@pytest.fixture
def main_class(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Make a module whose classes cloudpickle sends by value, and hide it, as on the worker."""

    def make(source: str) -> Any:
        module = types.ModuleType("script_of_ada")
        exec(source, module.__dict__)
        return module

    yield make


CLASSES = (
    "from enum import Enum\n"
    "class MyError(Exception):\n"
    "    def __init__(self, a, *, b): super().__init__(a); self.b = b\n"
    "    class Inner(Exception): pass\n"
    "class Color(Enum):\n    RED = 1\n"
    "class Node:\n    def make(self): return Other()\n"
    "class Other:\n    def make(self): return Node()\n"
)


def test_a_class_comes_back_as_the_one_that_lives_here(
    main_class: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, client = main_class(CLASSES), main_class(CLASSES)
    made = [worker.MyError(1, b=2), worker.MyError.Inner("x"), worker.Color.RED, worker.Node(), worker.Other]
    packed = pickling.dump(made)
    monkeypatch.setitem(sys.modules, "script_of_ada", client)
    error, inner, color, node, other = pickling.loads(packed)
    assert (type(error), error.b, type(inner)) == (client.MyError, 2, client.MyError.Inner)
    assert color is client.Color.RED and type(node) is client.Node and other is client.Other


def test_a_class_that_lives_nowhere_else_comes_back_by_value(main_class: Callable[[str], Any]) -> None:
    worker = main_class(CLASSES)
    stream = b"".join(pickling.dump([worker.MyError(1, b=2), worker.Color.RED, worker.Node()]).chunks())
    script = (
        "import pickle, sys\n"
        "error, color, node = pickle.loads(sys.stdin.buffer.read())\n"
        "print(type(error).__name__, error.args, error.b, color.name, type(node.make().make()) is type(node))\n"
    )
    said = subprocess.run([sys.executable, "-c", script], input=stream, capture_output=True, check=True)
    assert said.stdout.decode().split("\n")[0] == "MyError (1,) 2 RED True"


def test_a_name_that_means_something_else_here_is_not_taken_for_the_class(
    main_class: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pickling.dump(main_class(CLASSES).Node())
    client = main_class("Node = 5")
    monkeypatch.setitem(sys.modules, "script_of_ada", client)
    assert type(pickling.loads(packed)).__name__ == "Node"


def test_a_module_that_cannot_be_imported_here_does_no_harm(
    main_class: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packed = pickling.dump(main_class(CLASSES).Node())
    (tmp_path / "script_of_ada.py").write_text("raise RuntimeError('no')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(pickling.loads(packed)).__name__ == "Node"


def test_a_class_inside_a_function_keeps_its_own_base(main_class: Callable[[str], Any], tmp_path: Path) -> None:
    source = CLASSES + "def f():\n    class Local(Node): pass\n    return Local()\n"
    stream = b"".join(pickling.dump(main_class(source).f()).chunks())
    (tmp_path / "script_of_ada.py").write_text(source)
    script = "import pickle, sys, script_of_ada as s; print(isinstance(pickle.loads(sys.stdin.buffer.read()), s.Node))"
    path = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    said = subprocess.run([sys.executable, "-c", script], input=stream, capture_output=True, check=True, env=path)
    assert said.stdout == b"True\n"


def test_classes_that_can_be_imported_go_by_reference() -> None:
    assert back([TwoArguments, Enum, types.SimpleNamespace]) == [TwoArguments, Enum, types.SimpleNamespace]


def test_an_open_file_cannot_be_returned(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file:
        ended = outcome.returned({"file": file}, show=False, store=NO_STORE)
    assert ended.header["kind"] == "unreturnable" and "open file" in ended.header["message"]


def test_a_generator_cannot_be_returned_and_is_named() -> None:
    ended = outcome.returned((x for x in range(3)), show=True, store=NO_STORE)
    assert ended.header["kind"] == "unreturnable" and not ended.ok
    assert "generator" in ended.header["message"] and "<generator" in ended.header["repr"]


def test_the_plain_pickler_keeps_exceptions_too() -> None:
    parts = Parts()
    pickling._PlainPickler(pickling._Sink(parts), 4).dump([TwoArguments(1, "b"), DiskError("sda", 5), {"x": KeyError}])
    error, disk, rest = pickle.loads(b"".join(parts.stream))
    assert (error.second, disk.errno, rest) == ("b", 5, {"x": KeyError})
