"""Option dataclasses: what is taken, what is refused and where, and the flags, tables and schemas made of them."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ConfigError, PluginError
from clustrix_core.options import Flag, Origin, build, flags, is_secret, schema, settings, table
from clustrix_core.resources import Resources

from .test_resources import ANYTHING, HOSTILE


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Inner:
    size: int = 1


@dataclass
class Everything:
    """Not frozen, annotations as strings: as a plugin's author may write it."""

    known: ClassVar[int] = 1
    count: int = field(default=1, metadata={"help": "how many"})
    ratio: float = 0.5
    on: bool = False
    text: str = "x"
    maybe: str | None = None
    either: int | str | None = None
    words: tuple[str, ...] = ()
    numbers: Sequence[int] = ()
    lines: list[str] = field(default_factory=list, metadata={"kind": "lines"})
    pair: tuple[int, str] = (1, "a")
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    raw: Any = None
    memory: int | None = field(default=None, metadata={"kind": "memory"})
    wait: int = field(default=60, metadata={"kind": "time"})
    file: str | None = field(default=None, metadata={"kind": "path"})
    folder: Path = Path()
    mode: str = field(default="a", metadata={"choices": ("a", "b")})
    literal: Literal["x", "y", 1] = "x"
    level: Level = Level.LOW
    inner: Inner = field(default_factory=Inner)
    some: str | tuple[str, ...] = "none"
    token: str | None = field(default=None, repr=False)
    derived: int = field(default=0, init=False)


@dataclass(frozen=True)
class Needs:
    host: str
    port: int = 22

    def __post_init__(self) -> None:
        if self.port == 13:
            raise ValueError("13 is unlucky")
        if self.port == 14:
            raise ConfigError("14 is worse")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", "4", 4),
        ("count", " -4 ", -4),
        ("count", 10**30, 10**30),
        ("ratio", "0.25", 0.25),
        ("ratio", "1e-3", 0.001),
        ("ratio", 2, 2.0),
        *[("on", word, True) for word in ("true", "True", "yes", "on", "1", True)],
        *[("on", word, False) for word in ("false", "NO", "off", "0", False)],
        ("text", "", ""),
        ("text", "4", "4"),
        ("maybe", None, None),
        ("either", "4", 4),
        ("either", 4, 4),
        ("either", "a100:2", "a100:2"),
        ("either", None, None),
        ("words", "a, b,,c", ("a", "b", "c")),
        ("words", ["a", "b,c"], ("a", "b,c")),
        ("words", "", ()),
        ("numbers", "1,2", (1, 2)),
        ("numbers", ["1", 2], (1, 2)),
        ("lines", "export A=1,2", ["export A=1,2"]),
        ("pair", ["2", "b"], (2, "b")),
        ("labels", "a=1,b=x,y=z,w", {"a": "1", "b": "x", "y": "z,w"}),
        ("labels", "a=x,1", {"a": "x,1"}),
        ("labels", ["a=1,b=2", "c=="], {"a": "1,b=2", "c": "="}),
        ("labels", {"a": 1}, {"a": "1"}),
        ("labels", "", {}),
        ("limits", "a=1", {"a": 1}),
        ("raw", [1, {"a": None}], [1, {"a": None}]),
        ("memory", "8GB", 8 * 1024**3),
        ("memory", None, None),
        ("wait", "01:00:00", 3600),
        ("file", PurePosixPath("/a"), "/a"),
        ("folder", "/a b", Path("/a b")),
        ("mode", "b", "b"),
        ("literal", "1", 1),
        ("level", "high", Level.HIGH),
        ("level", Level.HIGH, Level.HIGH),
        ("inner", {"size": "3"}, Inner(3)),
        ("inner", Inner(3), Inner(3)),
        ("some", "a,b", "a,b"),
        ("some", ["a", "b"], ("a", "b")),
        ("text", None, "x"),
    ],
)
def test_values_are_converted(name: str, value: Any, expected: Any) -> None:
    got = getattr(build(Everything, {name: value}), name)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("count", bad) for bad in ("x", "4.0", "²", "", 1.0, True, [1], math.nan, "9" * 30, b"4")],
        *[("ratio", bad) for bad in ("x", "nan", "inf", math.inf, math.nan, 10**400, True, "1_0")],
        *[("on", bad) for bad in ("maybe", "", 1, 0, 2)],
        *[("text", bad) for bad in (4, True, ["a"], b"x", "a\0b", "\ud800")],
        *[("either", bad) for bad in (1.5, [], True, {})],
        *[("words", bad) for bad in (4, {"a": 1}, ["a", 4], [None], b"ab")],
        *[("numbers", bad) for bad in ("a", [1.5], [[1]])],
        *[("pair", bad) for bad in ("1", [1], [1, 2], [1, "a", 3])],
        *[("labels", bad) for bad in (4, "a", ["a"], {"a": True}, {"a": None}, {1: "x"}, [["a", "b"]])],
        *[("limits", bad) for bad in ("a=x", {"a": "x"})],
        *[("memory", bad) for bad in ("8 potatoes", "8", True, -1, [])],
        *[("wait", bad) for bad in ("1:30", "-1", None)],
        *[("folder", bad) for bad in (4, "a\0")],
        *[("mode", bad) for bad in ("c", "", 1)],
        *[("literal", bad) for bad in ("z", 2, None)],
        *[("level", bad) for bad in ("LOW", 1)],
        *[("inner", bad) for bad in ("x", {"sise": 1}, {"size": "x"})],
    ],
)
def test_values_are_refused(name: str, value: Any) -> None:
    if (name, value) in (("literal", None), ("wait", None)):
        assert build(Everything, {name: value}) == Everything()  # no value of its own: not given
        return
    with pytest.raises(ConfigError, match=r"^f\.yml:7: "):
        build(Everything, {name: value}, Origin(file="f.yml", line=7))


@given(st.sampled_from([item.name for item in fields(Everything) if item.init]), ANYTHING)
def test_nothing_but_config_errors(name: str, value: Any) -> None:
    try:
        made = build(Everything, {name: value})
    except ConfigError:
        return
    assert build(Everything, {name: getattr(made, name)}) == made or made.raw != made.raw  # NaN


@given(st.one_of(st.sampled_from(HOSTILE), st.text()))
def test_text_is_kept_as_written_or_refused(text: str) -> None:
    for name, value in (("text", text), ("words", [text]), ("lines", text), ("labels", {"a": text}), ("some", text)):
        try:
            got = getattr(build(Everything, {name: value}), name)
        except ConfigError:
            assert "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)
        else:
            assert got in (value, (text,), [text])


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]*", fullmatch=True), st.from_regex(r"[^,=\0]*", fullmatch=True)
    )
)
def test_pairs_survive_being_written(labels: dict[str, str]) -> None:
    labels = {key: value for key, value in labels.items() if value.isprintable()}
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    assert build(Everything, {"labels": text}).labels == labels


def test_an_unknown_key_names_the_nearest() -> None:
    place = Origin(file="clustrix.yml", line=1, parts={"coutn": Origin(file="clustrix.yml", line=9)})
    with pytest.raises(ConfigError) as caught:
        build(Everything, {"coutn": 1}, place)
    assert str(caught.value) == "clustrix.yml:9: unknown key 'coutn'\nDid you mean 'count'?"
    assert (caught.value.file, caught.value.line) == ("clustrix.yml", 9)


@pytest.mark.parametrize("key", [1, None, (), "known", "derived"])
def test_odd_keys_are_unknown(key: Any) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        build(Everything, {key: 1})


def test_the_place_may_be_a_word() -> None:
    with pytest.raises(ConfigError, match=r"^\$CLUSTRIX_COUNT: count='x' is not a whole number"):
        build(Everything, {"count": "x"}, "$CLUSTRIX_COUNT")


def test_what_must_be_given() -> None:
    assert build(Needs, {"host": "h"}) == Needs("h")
    with pytest.raises(ConfigError, match="host must be given"):
        build(Needs, {"port": 1})
    with pytest.raises(ConfigError, match="host must be given"):
        build(Needs, None)


@pytest.mark.parametrize(("port", "message"), [(13, "f.yml:3: 13 is unlucky"), (14, "f.yml:3: 14 is worse")])
def test_what_the_class_itself_refuses(port: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Needs, {"host": "h", "port": port}, Origin(file="f.yml", line=3))
    assert str(caught.value) == message


def test_a_field_that_the_class_names_gets_its_own_line() -> None:
    place = Origin(file="f.yml", line=1, parts={"cores": Origin(file="f.yml", line=5)})
    with pytest.raises(ConfigError, match=r"^f\.yml:5: cores=0 "):
        build(Resources, {"cores": 0}, place)


@pytest.mark.parametrize("value", [4, "x", [1], [("a", 1)]])
def test_values_are_a_mapping(value: Any) -> None:
    with pytest.raises(ConfigError, match="is not a mapping"):
        build(Everything, value)


def test_an_instance_comes_back() -> None:
    made = Everything(count=3)
    assert build(Everything, made) is made
    assert build(Everything, None) == Everything()


def test_a_bare_scalar_of_a_file_is_text_as_typed() -> None:
    parts = {"text": Origin(text="1_0"), "count": Origin(text="10")}
    made = build(Everything, {"text": 10, "count": 10}, Origin(parts=parts))
    assert (made.text, made.count) == ("1_0", 10)


def test_secrets_are_not_in_messages() -> None:
    for values in ({"token": ["hunter2"]}, {"labels": {"a": ["hunter2"]}}):
        with pytest.raises(ConfigError) as caught:
            build(Everything, values)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["password", "api_token", "API_KEY", "aws_secret_access_key", "client-secret", "token"]
)
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "key_file", "tokens_per_call", "passage", "secretary"])
def test_names_that_are_not_secret(name: str) -> None:
    assert not is_secret(name)


def test_only_dataclasses_with_readable_types_describe_options() -> None:
    @dataclass
    class Lost:
        what: Nowhere  # noqa: F821

    with pytest.raises(PluginError, match="not a dataclass"):
        settings(int)
    with pytest.raises(PluginError, match="Nowhere"):
        settings(Lost)


def test_flags() -> None:
    found = {flag.field: flag for flag in flags(Everything, "slurm")}
    assert "token" not in found and "inner" not in found and "derived" not in found
    assert found["count"] == Flag("--slurm-count", "slurm_count", "count", int, "how many")
    assert found["on"].off == "--no-slurm-on" and found["on"].type is bool
    assert found["memory"].type is str and found["either"].type is str and found["ratio"].type is float
    assert found["words"].multiple and found["labels"].multiple and not found["text"].multiple
    assert found["mode"].choices == ("a", "b")
    assert [flag.name for flag in flags(Resources)][:2] == ["--cores", "--memory"]
    assert "--password" not in [flag.name for flag in flags(ClusterConfig)]


def test_what_flags_give_is_built() -> None:
    given = {"words": ("a", "b"), "labels": ("a=1", "b=x,y"), "memory": "1GB", "either": "4", "on": True}
    made = build(Everything, given)
    assert (made.words, made.labels, made.either) == (("a", "b"), {"a": "1", "b": "x,y"}, 4)


def test_the_table_has_a_row_for_every_option() -> None:
    @dataclass
    class Piped:
        a: str = field(default="b", metadata={"help": "one | two\nthree"})

    assert table(Piped).splitlines()[2] == "| `a` | text | `b` | one \\| two three |"
    rows = table(Everything).splitlines()
    assert len(rows) == 2 + len(settings(Everything))
    assert all(row.count(" | ") == 3 for row in rows[2:])
    assert "| `memory` | an amount of memory |  |  |" in rows
    assert "| `wait` | a walltime | `00:01:00` |  |" in rows
    assert "| `host` | text | must be given |  |" in table(Needs)


def test_the_schema_is_json() -> None:
    found = json.loads(json.dumps(schema(Everything)))
    properties = found["properties"]
    assert set(properties) == set(settings(Everything)) and found["additionalProperties"] is False
    assert properties["count"] == {"type": "integer", "description": "how many", "default": 1}
    assert properties["either"] == {"type": ["integer", "string", "null"]}
    assert properties["mode"]["enum"] == ["a", "b"] and properties["literal"]["enum"] == ["x", "y", 1]
    assert properties["numbers"]["anyOf"][0] == {"type": "array", "items": {"type": "integer"}}
    assert properties["inner"]["properties"] == {"size": {"type": "integer", "default": 1}}
    assert properties["raw"] == {}
    assert schema(Needs)["required"] == ["host"]
