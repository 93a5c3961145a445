"""Make an image of a directory, without a registry or a daemon: image.py DIRECTORY NAME:TAG OUT.tar COMMAND..."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

OCI = "application/vnd.oci.image"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


class Image:
    """An OCI layout in a tar file, as it grows."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar

    def add(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data))

    def blob(self, kind: str, data: Any) -> dict[str, Any]:
        """Add a JSON document under its hash; what others name it by."""
        text = json.dumps(data).encode()
        name = hashlib.sha256(text).hexdigest()
        self.add(f"blobs/sha256/{name}", text)
        return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{name}", "size": len(text)}


def make(root: str, name: str, out: Path, command: list[str]) -> None:
    layer = out.with_suffix(".layer")
    subprocess.run(
        ["tar", "--sort=name", "--mtime=@0", "--numeric-owner", "-C", root, "-cf", str(layer), "."], check=True
    )
    digest = digest_of(layer)
    machine = {"architecture": MACHINES.get(platform.machine(), platform.machine()), "os": "linux"}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with tarfile.open(out, "w") as tar:
        image = Image(tar)
        image.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        config = image.blob(
            "config.v1+json",
            {
                **machine,
                "config": {"Env": [f"PATH={path}"], "Cmd": command},
                "rootfs": {"type": "layers", "diff_ids": [digest]},
            },
        )
        layers = [{"mediaType": f"{OCI}.layer.v1.tar", "digest": digest, "size": layer.stat().st_size}]
        manifest = image.blob(
            "manifest.v1+json",
            {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": layers},
        )
        names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        index = {"schemaVersion": 2, "manifests": [{**manifest, "annotations": names, "platform": machine}]}
        image.add("index.json", json.dumps(index).encode())
        tar.add(layer, f"blobs/sha256/{digest.partition(':')[2]}")
    os.unlink(layer)


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
