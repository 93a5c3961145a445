"""What a pod gets from an object store and puts there, by signed URLs: Python 3.6 and later, standard library only.

The client writes ``store``, a JSON object: ``get`` has {name: [URL, SHA-256, length, key]}, ``put`` a URL for each
task. The URLs are as good as a password, so no message shows them.
"""

import hashlib
import os
import re
import sys
import time
import urllib.error
import urllib.request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

PATIENCE = 600.0  # seconds for which a store may be away
IDLE = 60.0
STEP = 1 << 20
BUSY = (408, 425, 429, 500, 502, 503, 504)
_SAID = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)


class Refused(Exception):
    """The store will not, or has not come back in time; says so in words."""


def get(url: str, path: str, digest: str, length: int) -> None:
    """Bring an object to ``path``; a transfer that breaks goes on where it was. Raises Refused."""
    new = path + ".new"
    open(new, "wb").close()

    def once() -> None:
        had = os.path.getsize(new)
        if had == length:
            return
        headers = {"Range": "bytes=%d-" % had} if had else {}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=IDLE) as answer:
            with open(new, "ab" if answer.getcode() == 206 else "wb") as file:
                for data in iter(lambda: answer.read(STEP), b""):
                    file.write(data)
        if os.path.getsize(new) < length:
            raise OSError("the connection broke")

    _persist(once, "data of this job")
    if _digest(new) != digest:
        raise Refused("data of this job in the store does not hold what was sent")
    os.chmod(new, 0o400)
    os.rename(new, path)


def put(url: str, pieces: "Callable[[], Iterator[bytes]]", length: int) -> None:
    """Put an object in its place, whole. Raises Refused."""

    def once() -> None:
        headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, pieces(), headers, method="PUT")
        with urllib.request.urlopen(request, timeout=IDLE) as answer:
            answer.read()

    _persist(once, "the result")


def _persist(once: "Callable[[], Any]", what: str) -> None:
    late, pause = time.time() + PATIENCE, 0.5
    while True:
        try:
            once()
            return
        except urllib.error.HTTPError as error:
            said = _SAID.search(error.read(4096).decode("utf-8", "replace"))
            words = "%s: HTTP %d %s" % (what, error.code, "%s: %s" % said.groups() if said else error.reason)
            if error.code not in BUSY:
                raise Refused("the object store refuses %s" % words) from None
        except (OSError, ValueError) as error:  # URLError is an OSError; a broken answer may be either
            words = "%s: %s" % (what, getattr(error, "reason", error))
        if time.time() > late:
            raise Refused("the object store cannot be reached for %s" % words)
        sys.stderr.write("clustrix: the object store does not answer, trying again: %s\n" % words)
        sys.stderr.flush()
        time.sleep(pause)
        pause = min(pause * 2, 15.0)


def _digest(path: str) -> str:
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        for data in iter(lambda: file.read(STEP), b""):
            whole.update(data)
    return whole.hexdigest()
