"""The configuration as YAML, as a JSON schema and as documentation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core import config
from clustrix_core.config import (
    ClusterConfig,
    Config,
    dump,
    flat,
    load,
    old,
)
from clustrix_core.config.file import parse
from clustrix_core.errors import ConfigError
from clustrix_core.options import Origin

Write = Callable[..., Path]


def refused(text: str, write: Write, **how: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(write(text, **how))
    return caught.value


def test_dump_is_read_back(full: ClusterConfig, write: Write) -> None:
    made = Config(
        "hpc", {"hpc": full, "local": ClusterConfig(cores=2), "x": ClusterConfig(name="x", host="x", account="no")}
    )
    text = dump(made)
    assert "hunter2" not in text and "memory: 8GB" in text
    again = load(write(text))
    assert again.default == "hpc" and again.clusters["x"] == made.clusters["x"]
    assert again.clusters["hpc"] == ClusterConfig(**full.public())
    assert dump(again) == text
    shown = dump(made, show=True)
    assert "hunter2" not in shown and shown.count("'********'") == 4
    assert "asterisks" in str(refused(shown, write))
    assert dump(Config(None)) == ""


@given(
    st.one_of(
        st.sampled_from(["yes", "1:30", "007", "1e3", "~", "null", "0x10", "<<", "=", "2020-01-01", "!\x85", "a\n b"]),
        st.text(),
    )
)
def test_any_text_survives_a_dump(text: str) -> None:
    try:
        made = ClusterConfig(env={"A": text}, options={"a": text})
    except ConfigError:
        return
    data, _ = parse(dump(Config("local", {"local": made})), Origin())
    assert data["clusters"]["local"]["options"] == {"a": text}
    assert data["clusters"]["local"]["resources"]["env"] == {"A": text}


def test_the_schema() -> None:
    @dataclass
    class Options:
        account: str | None = field(default=None, metadata={"help": "who pays"})

    found = json.loads(json.dumps(config.schema({"slurm": Options, "k8s": Options})))
    cluster = found["$defs"]["cluster"]
    assert {*flat.SETTINGS, *flat.RESOURCES, *old.OLD, *old.DROPPED, "queue"} == set(cluster["properties"])
    assert cluster["allOf"][0]["then"]["properties"]["options"]["properties"]["account"]["description"] == "who pays"
    assert cluster["allOf"][1]["if"]["properties"]["backend"]["enum"] == ["k8s", "kubernetes"]
    assert "allOf" not in config.schema()["$defs"]["cluster"]


def test_importing_it_loads_no_library() -> None:
    heavy = ["yaml", "click", "rich", "paramiko", "pluggy"]
    code = f"import sys; from clustrix_core.config import *; find(); print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_generated_pages_are_up_to_date() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
