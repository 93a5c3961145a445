"""An S3 server on loopback: moto's, in a process of its own, behind a network that tests can break."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.testbeds.network import Network

LOGIN = {
    "AWS_ACCESS_KEY_ID": "ada",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class S3:
    """A server with one bucket, ``clustrix``, for which ``LOGIN`` is good. ``network`` is the way to it."""

    network: Network

    @property
    def url(self) -> str:
        return f"http://{self.network.host}:{self.network.port}"

    def options(self, folder: str = "bed") -> dict[str, Any]:
        """Return what a cluster needs to use it."""
        return {"store": f"s3://clustrix/{folder}", "store_options": {"endpoint_url": self.url}}

    def objects(self, folder: str = "") -> dict[str, int]:
        """Return names and sizes of all that is there, below a folder."""
        import fsspec

        there = fsspec.filesystem("s3", endpoint_url=self.url, use_listings_cache=False)
        found = there.find(f"clustrix/{folder}", detail=True)
        return {name.removeprefix("clustrix/"): one["size"] for name, one in found.items()}

    def remove(self, name: str) -> None:
        import fsspec

        fsspec.filesystem("s3", endpoint_url=self.url, use_listings_cache=False).rm(f"clustrix/{name}")


@contextlib.contextmanager
def s3(host: str, *, strict: bool = False) -> Iterator[S3]:
    """Run one that is reached at an address of this machine. ``strict``: it knows nobody's login."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # One request makes the bucket.
    environment = {**os.environ, **LOGIN, **({"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if strict else {})}
    server = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, server)
        bucket = urllib.request.Request(f"http://127.0.0.1:{port}/clustrix", method="PUT")
        with urllib.request.urlopen(bucket, timeout=30):
            pass
        with Network(port, host) as network:
            yield S3(network)
    finally:
        server.kill()
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise RuntimeError("the S3 server does not come up")
