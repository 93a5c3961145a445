"""Resources take what people write, and refuse everything else as a ConfigError."""

from __future__ import annotations

import math
import pickle
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.errors import ConfigError
from clustrix_core.quantities import format_memory, format_time, parse_memory, parse_time
from clustrix_core.resources import Resources, nearest

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.one_of(st.text(), st.integers())),
    st.dictionaries(st.text(), st.text()),
    st.just(object()),
)
HOSTILE = [
    "a; rm -rf /",
    "$(id)",
    "`id`",
    "a\nb",
    "a\rb",
    "a\0b",
    "-x",
    "--wrap=id",
    "a b",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a>b",
    "*",
    "~",
    "é",
    "\u2028",
    "\ud800",
    "",
    " ",
]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8 * 1024**3),
        ("8G", 8 * 1024**3),
        ("8 gib", 8 * 1024**3),
        (" 512MiB\n", 512 * 1024**2),
        ("1.5g", 3 * 1024**3 // 2),
        ("2048K", 2 * 1024**2),
        ("1T", 1024**4),
        (8 * 1024**3, 8 * 1024**3),
        (8e9, 8 * 10**9),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_memory_is_read(text: Any, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "value",
    [
        *["8 potatoes", "8", 8, 0, -1, "-1", "0GB", "", "GB", "8,5GB", "1e9", "٨GB", "8G B", "9" * 5000, "999999PB"],
        *[math.nan, math.inf, -math.inf, 1e300, 10**30, True, None, [8], b"8GB", object()],
    ],
)
def test_memory_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError):
        parse_memory(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:30:00", 5400),
        ("00:00:01", 1),
        ("100:00:00", 360000),
        ("2-00:00:00", 172800),
        ("90m", 5400),
        ("90 min", 5400),
        ("36h", 129600),
        ("1d", 86400),
        ("1.5h", 5400),
        ("60", 60),
        (60, 60),
        (90.0, 90),
    ],
)
def test_time_is_read(text: Any, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *[
            "-1",
            -1,
            0,
            "0",
            "00:00:00",
            "0.4",
            "1:30",
            "90:00",
            "1-00:00",
            "1:60:00",
            "1:00:60",
            "1-24:00:00",
            "soon",
            "",
        ],
        *["1h30m", "١:00:00", "9" * 400, "99999999999999999d", math.nan, math.inf, True, None, [60], b"60", object()],
    ],
)
def test_time_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError):
        parse_time(value)


def test_a_time_without_seconds_is_ambiguous() -> None:
    with pytest.raises(ConfigError, match=r"ambiguous\nWrite hours, minutes and seconds"):
        parse_time("1:30")


@given(st.integers(1, 10 * 366 * 86400))
def test_time_survives_being_written(seconds: int) -> None:
    assert parse_time(format_time(seconds)) == seconds


@given(st.integers(1024**2, 1024**6))
def test_memory_survives_being_written(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


@given(ANYTHING)
def test_quantities_raise_nothing_but_config_errors(value: Any) -> None:
    for parse in (parse_memory, parse_time):
        try:
            assert parse(value) > 0
        except ConfigError:
            pass


@given(st.sampled_from([field.name for field in fields(Resources)]), ANYTHING)
def test_a_field_takes_a_value_or_names_itself(name: str, value: Any) -> None:
    try:
        made = Resources(**{name: value})
    except ConfigError as error:
        assert error.__dict__["field"] == name
    else:
        assert Resources(**{name: getattr(made, name)}) == made
        assert hash(made) == hash(pickle.loads(pickle.dumps(made)))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["partition", "account", "qos", "gpus"])
def test_names_for_a_scheduler_hold_no_shell(name: str, text: str) -> None:
    with pytest.raises(ConfigError):
        Resources(**{name: text})


@given(st.one_of(st.sampled_from(HOSTILE), st.text()))
def test_text_is_kept_as_written_or_refused(text: str) -> None:
    for name in ("constraint", "name", "directives", "modules", "setup", "teardown"):
        value = (text,) if name not in ("constraint", "name") else text
        try:
            made = getattr(Resources(**{name: value}), name)
        except ConfigError:
            continue
        assert made == value
        assert "\0" not in text
        if name not in ("setup", "teardown"):
            assert "\n" not in text and "\r" not in text
    try:
        assert Resources(env={"A": text}).env == {"A": text}
    except ConfigError:
        assert "\0" in text or not text.isprintable()


@pytest.mark.parametrize("value", [0, -1, 1.5, "4.5", "²", "٤", 10**7, True, None, "four", [4], math.nan])
def test_cores_are_a_whole_number(value: Any) -> None:
    with pytest.raises(ConfigError):
        Resources(cores=value)


def test_numbers_too_large_to_print_are_refused() -> None:
    for name in ("cores", "memory", "time", "gpus", "nodes"):
        with pytest.raises(ConfigError):
            Resources(**{name: 10**5000})


def test_numbers_of_numpy_are_numbers() -> None:
    import numpy

    assert Resources(cores=numpy.int64(4), memory=numpy.int64(2**30)) == Resources(cores=4, memory="1GB")


@pytest.mark.parametrize(("value", "expected"), [(2, 2), ("2", 2), ("a100:2", "a100:2")])
def test_gpus(value: Any, expected: Any) -> None:
    assert Resources(gpus=value).gpus == expected


@pytest.mark.parametrize("value", [0, "a100", "a100:0", "a100:-1", ":2", "-a:2", "a:1:2", "²"])
def test_gpus_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError):
        Resources(gpus=value)


def test_one_line_is_a_list_of_one() -> None:
    made = Resources(setup="export A=1,2", directives="--gres=a,b", modules="gcc/12, cuda")
    assert (made.setup, made.directives, made.modules) == (("export A=1,2",), ("--gres=a,b",), ("gcc/12", "cuda"))


@pytest.mark.parametrize("value", [5, {"a": 1}, b"x", [1], [""], [None]])
def test_lists_are_lists_of_text(value: Any) -> None:
    for name in ("directives", "modules", "setup", "teardown"):
        with pytest.raises(ConfigError):
            Resources(**{name: value})


@pytest.mark.parametrize(
    "value", [5, ["A=1"], {"A b": "1"}, {1: "1"}, {"A": True}, {"A": None}, {"": "1"}, {"A=B": "1"}]
)
def test_env_is_a_mapping_of_text(value: Any) -> None:
    with pytest.raises(ConfigError):
        Resources(env=value)


def test_env_takes_numbers_and_shows_nothing() -> None:
    made = Resources(env={"OMP_NUM_THREADS": 4, "HF_TOKEN": "hunter2"})
    assert made.env == {"OMP_NUM_THREADS": "4", "HF_TOKEN": "hunter2"}
    assert "hunter2" not in repr(made)


def test_but_changes_what_is_given() -> None:
    made = Resources(cores=4, env={"A": "1"}).but(memory="1GB", cores=None, queue="short", env={"B": "2"})
    assert made == Resources(cores=4, memory=1024**3, partition="short", env={"A": "1", "B": "2"})
    with pytest.raises(ConfigError, match="Did you mean 'memory'"):
        made.but(memroy="1GB")


def test_nearest_names_one_or_all() -> None:
    assert nearest("paritition", ["partition", "qos"]) == "Did you mean 'partition'?"
    assert nearest("zzz", ["b", "a"]) == "Known: a, b."
