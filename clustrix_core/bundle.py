"""The worker as one archive for the first contact with a cluster."""

from __future__ import annotations

import functools
import io
import tarfile

from clustrix_core.worker.bundle import digest, files


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


__all__ = ["archive", "digest"]
