"""``receive``: blobs from stdin into ``blobs``, each behind a line of its digest and its length."""

import os
import sys

from clustrix_core.worker.blobs import Store, pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

CHANGED = 73


def receive(stdin: "BinaryIO") -> int:
    """Take in all that comes. A blob gets its name when it is whole and its digest is right; then that is said."""
    os.makedirs("blobs", 0o700, exist_ok=True)
    store = Store("blobs")
    for line in iter(stdin.readline, b""):
        digest, length = line.decode("ascii").split()
        try:
            with store.new() as new:
                for piece in pieces(stdin, int(length)):
                    new.write(piece)
                if not new.done(digest):
                    sys.stderr.write("%s bytes that were to be %s are not\n" % (length, digest))
                    return CHANGED
            sys.stdout.write("clustrix: have %s\n" % digest)
            sys.stdout.flush()
        except OSError as error:  # a full disk
            sys.stderr.write("%s\n" % error)
            return 65
    return 0
