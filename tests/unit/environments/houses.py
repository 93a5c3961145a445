"""Small wheels and a package index of files, for tests that install something."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path


def wheel(folder: Path, name: str, code: str, version: str = "1.0", requires: Iterable[str] = ()) -> Path:
    """Write a wheel of one module and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    contents = {
        f"{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},sha256={_digest(text)},{len(text)}\n" for file, text in contents.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for inner, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            file.writestr(inner, text)
    return path


def index(folder: Path, wheels: Iterable[Path]) -> str:
    """Return the address of an index that has these wheels, readable for all."""
    for path in wheels:
        project = folder / path.name.partition("-")[0]
        project.mkdir(parents=True, exist_ok=True)
        (project / path.name).write_bytes(path.read_bytes())
        links = "".join(f'<a href="{one.name}">{one.name}</a>\n' for one in sorted(project.glob("*.whl")))
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>\n")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder.as_uri()


def installed(folder: Path, wheels: Iterable[Path]) -> Path:
    """Unpack wheels as an installer does, and return the directory: a site-packages to put on PYTHONPATH."""
    place = folder / "site-packages"
    for path in wheels:
        with zipfile.ZipFile(path) as file:
            file.extractall(place)
    return place


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
