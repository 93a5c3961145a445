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


posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777], ids=oct)
def test_a_client_key_that_others_can_reach_is_refused_until_its_owner_has_decided(tmp_path: Path, mode: int) -> None:
    key = keys.job_key(tmp_path, "00aa")
    (tmp_path / "key").chmod(mode)
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"others can read it: .*key has mode {mode:o}") as raised:
            keys.job_key(tmp_path, "00aa")
        assert "chmod 600" in str(raised.value.hint) and "remove it" in str(raised.value.hint)
    (tmp_path / "key").chmod(0o600)
    assert keys.job_key(tmp_path, "00aa") == key


@posix
def test_a_home_that_everybody_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="others can write to it"):
        keys.job_key(tmp_path, "00aa")
    assert not any(tmp_path.iterdir())
    tmp_path.chmod(0o770)
    assert keys.job_key(tmp_path, "00aa")


@posix
def test_a_home_or_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    foreign = Path("/etc/passwd")
    if os.geteuid() == 0:
        foreign = tmp_path / "theirs"
        foreign.touch(0o600)
        os.chown(foreign, 65534, 65534)
    (tmp_path / "home/key").symlink_to(foreign)
    for home in (tmp_path / "home", Path("/usr") if os.geteuid() else foreign):
        with pytest.raises(ConfigError, match="belongs to somebody else"):
            keys.job_key(home, "00aa")


# RFC 5869, appendix A: SHA-256 with all inputs, with long ones, and without salt and info.
@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "expected"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["all inputs", "long inputs", "no salt, no info"],
)
def test_keys_are_derived_as_rfc_5869_says(secret: str, salt: str, info: str, length: int, expected: str) -> None:
    derived = keys.derive(bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(info), length)
    assert derived.hex() == expected


def test_the_key_of_a_job_is_derived_from_its_id(tmp_path: Path) -> None:
    key = keys.job_key(tmp_path, "00aa")
    assert key == keys.derive((tmp_path / "key").read_bytes(), b"", b"clustrix job 00aa", 32).hex()


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 31])
def test_a_damaged_key_is_an_error_not_a_weak_signature(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").touch(0o600)
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
