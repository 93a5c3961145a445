"""What travels to every cluster: the worker, the errors, the facade and cloudpickle, as files."""

from __future__ import annotations

import functools
import hashlib
import io
import tarfile
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def files() -> dict[str, bytes]:
    """Return the bundle: file contents by path."""
    import cloudpickle

    found = {"clustrix_core/__init__.py": (HERE / "__init__.py").read_bytes(), "clustrix_core/errors.py": (HERE / "errors.py").read_bytes()}
    for path in sorted((HERE / "worker").glob("*.py")):
        found[f"clustrix_core/worker/{path.name}"] = path.read_bytes()
    for path in sorted((HERE / "worker" / "facade").rglob("*.py")):
        found[path.relative_to(HERE / "worker" / "facade").as_posix()] = path.read_bytes()
    for path in sorted(Path(cloudpickle.__file__).parent.glob("*.py")):
        found[f"cloudpickle/{path.name}"] = path.read_bytes()
    found["__main__.py"] = found["clustrix_core/worker/__main__.py"]
    return found


@functools.cache
def digest() -> str:
    """Return the bundle's name on a cluster: 16 hex digits that change with its contents."""
    total = hashlib.sha256()
    for name, content in sorted(files().items()):
        total.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    return total.hexdigest()[:16]


@functools.cache
def archive() -> bytes:
    """Return the bundle as a gzipped tar."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6) as tar:
        for name, content in files().items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()
