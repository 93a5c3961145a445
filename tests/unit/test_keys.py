"""Job ids and signing keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clustrix_core import keys
from clustrix_core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_ids_are_sixteen_hex_digits_and_never_the_same() -> None:
    ids = {keys.new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert [job for job in ids if not re.fullmatch("[0-9a-f]{16}", job)] == []


def test_a_key_belongs_to_one_job_and_one_client(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    key = keys.job_key(tmp_path, "00aa")
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert keys.job_key(tmp_path, "00aa") == key
    assert len({key, keys.job_key(tmp_path, "00ab"), keys.job_key(tmp_path / "other", "00aa")}) == 3


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_client_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keys.job_key(tmp_path, "00aa")
    finally:
        os.umask(old)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_client_key_is_not_what_travels(tmp_path: Path) -> None:
    key = keys.job_key(tmp_path, "00aa")
    assert (tmp_path / "key").read_bytes().hex() not in key and len((tmp_path / "key").read_bytes()) == 32


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 31])
def test_a_damaged_key_is_an_error_not_a_weak_signature(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged"):
        keys.job_key(tmp_path, "00aa")
    assert (tmp_path / "key").read_bytes() == content


NO_LINKS = """
import os
def refuse(*_): raise PermissionError(1, "Operation not permitted")  # what exFAT says
os.link = refuse
"""


@pytest.mark.parametrize(("links", "left"), [("", {"key"}), (NO_LINKS, {"key", "key.lock"})], ids=["links", "no links"])
def test_processes_that_make_the_key_at_once_agree(tmp_path: Path, links: str, left: set[str]) -> None:
    code = f"""{links}
import sys
from pathlib import Path
from clustrix_core import keys
sys.stdin.readline()
for home in sys.argv[1:]:
    print(keys.job_key(Path(home), "00aa"))
"""
    homes = [tmp_path / str(number) for number in range(100)]
    for home in homes:
        home.mkdir()
    argv = [sys.executable, "-c", code, *map(str, homes)]
    pipe = subprocess.PIPE
    makers = [subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for maker in makers:
        assert maker.stdin
        maker.stdin.write("go\n")
        maker.stdin.flush()
    answers = [maker.communicate()[0].split() for maker in makers]
    assert [len(answer) for answer in answers] == [100] * 4
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert len(set(answers[0])) == 100
    assert [home for home in homes if not {"key"} <= {path.name for path in home.iterdir()} <= left] == []
