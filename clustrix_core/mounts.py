"""What a directory is mounted from. On network file systems the processes of several machines do not share memory."""

from __future__ import annotations

import re
from pathlib import Path

TABLE = Path("/proc/self/mounts")
_NETWORK = re.compile(
    r"nfs4?|cifs|smb3?|smbfs|lustre|gpfs|beegfs|ceph|afs|9p|panfs|glusterfs|orangefs|pvfs2|ocfs2|gfs2|wekafs|fuse(\..*)?"
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def is_network(path: Path) -> bool:
    """Return whether ``path`` is on a network file system; False where there is no telling (no Linux)."""
    try:
        lines = TABLE.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    path = path.resolve()
    place, kind = "", ""
    for fields in (line.split(" ") for line in lines):
        if len(fields) < 3:
            continue
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[1])
        # The later of two mounts on one point covers the earlier.
        if len(point) >= len(place) and path.is_relative_to(point):
            place, kind = point, fields[2]
    return bool(_NETWORK.fullmatch(kind))
