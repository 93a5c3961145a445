"""A wheel made of what is installed: for packages that no index has."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import zipfile
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from clustrix_core.errors import ConfigError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same wheel, byte for byte, of the same files
_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def rewheel(one: Distribution, into: Path) -> Path:
    """Return a wheel of an installed distribution, without the scripts, which the entry points make anew.

    Raises ConfigError where it does not say which files it has.
    """
    name, info = one.metadata["Name"], one.read_text("WHEEL")
    files = one.read_text("RECORD")
    if not files or not info:
        raise ConfigError(
            f"{name} was installed from this machine, and does not say which files it has",
            hint="Install it from a wheel, or put its wheel into a folder and set wheels:.",
        )
    plain, version = (re.sub(r"[^\w.]+", "_", text) for text in (name, one.version.replace("-", "_")))
    tags = sorted(re.findall(r"^Tag: (\S+)$", info, re.MULTILINE))
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = into / f"{plain}-{version}-{_together(tags)}.whl"
    contents = dict(_contents(one, files))
    meta = next(file.partition("/")[0] for file in contents if re.fullmatch(r"[^/]+\.dist-info/METADATA", file))
    record = "".join(f"{file},sha256={_digest(data)},{len(data)}\n" for file, data in contents.items())
    contents[f"{meta}/RECORD"] = f"{record}{meta}/RECORD,,\n".encode()
    new = path.with_suffix(f".{hashlib.sha256(record.encode()).hexdigest()[:8]}.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file, data in contents.items():
            wheel.writestr(zipfile.ZipInfo(file, _EPOCH), data, zipfile.ZIP_DEFLATED)
    new.replace(path)
    return path


def _contents(one: Distribution, record: str) -> list[tuple[str, bytes]]:
    found = []
    # Not one.files: since Python 3.12 it keeps quiet about those that are missing.
    for file in sorted(PurePosixPath(row[0]) for row in csv.reader(record.splitlines()) if row):
        outside = ".." in file.parts or file.is_absolute()
        if outside or file.suffix == ".pyc" or (file.parent.suffix == ".dist-info" and file.name in _LEFT_OUT):
            continue
        try:
            found.append((file.as_posix(), Path(str(one.locate_file(file))).read_bytes()))
        except OSError:
            raise ConfigError(
                f"{one.metadata['Name']} is damaged: {file} is missing", hint="Install it again."
            ) from None
    return found


def _together(tags: list[str]) -> str:
    """Return the tags as the name of a wheel has them: py2.py3-none-any."""
    columns = zip(*(tag.split("-", 2) for tag in tags or ["py3-none-any"]), strict=True)
    return "-".join(".".join(sorted(set(column))) for column in columns)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
