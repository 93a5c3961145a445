"""Files that are written and read inside a call: a temporary folder, archives, compression."""

import gzip
import hashlib
import tempfile
import zipfile
from pathlib import Path

from clustrix import cluster


@cluster
def archived(chapters):
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(chapters):
            with gzip.open(Path(folder) / f"{number}.txt.gz", "wt") as file:
                file.write(text)
        with zipfile.ZipFile(Path(folder) / "book.zip", "w") as book:
            for path in sorted(Path(folder).glob("*.gz")):
                book.write(path, path.name)
            names = book.namelist()
        texts = [gzip.decompress(path.read_bytes()).decode() for path in sorted(Path(folder).glob("*.gz"))]
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return names, digest, Path(folder).exists()


if __name__ == "__main__":
    print(archived(["It was a dark", "and stormy night"]))
