"""An object store beside the cluster, through fsspec. Pods have no credentials: the client signs what they may do.

blobs/SHA256          a large part of some payload, a file or a folder: sent once
jobs/ID/NAME          a file of one job that is too large for a Secret
jobs/ID/needs         the blobs that a job needs: who collects garbage reads them all
jobs/ID/result-R.T    what task T of round R has left, as a pod gives it
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clustrix_core.errors import ClustrixError, CommandError, ConfigError, StagingError, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec, Problem
from clustrix_k8s.options import K8sOptions

LIFE = 604_800  # seconds for which a URL is good: S3 signs for 7 days at most
PIECE = 8 << 20  # bytes that are in memory of what is sent
STEP = 1 << 20
YOUNG = 3600.0  # seconds in which a job may still be on its way to what it needs
LARGE = 400_000  # a file of this size goes here and not into a Secret
# How each kind of file system signs an upload, and what it must be told for that.
_UPLOAD: Mapping[str, Mapping[str, Any]] = {
    "s3": {"client_method": "put_object"},
    "s3a": {"client_method": "put_object"},
    "gs": {"method": "PUT"},
    "gcs": {"method": "PUT"},
}
_SIGNED = {"config_kwargs": {"signature_version": "s3v4"}}
_TOLD: Mapping[str, Mapping[str, Any]] = {"s3": _SIGNED, "s3a": _SIGNED}
_NEXT = (
    "See `store:` and `store_options:` in options:, and the section on object stores in docs/tutorials/kubernetes.md."
)


class Store:
    """The part of an object store that is ours. Whatever goes wrong is one of our errors."""

    def __init__(self, options: K8sOptions) -> None:
        assert options.store is not None
        self.url = options.store.rstrip("/")
        self.kind = self.url.partition("://")[0]
        if self.kind not in _UPLOAD:
            raise ConfigError(
                f"store: {self.url}: uploads to this kind of store cannot be signed",
                hint=f"Those that can be: {', '.join(_UPLOAD)}.",
            )
        told = {**_TOLD.get(self.kind, {}), **options.store_options, "use_listings_cache": False}
        with self.asked("opening it"):
            import fsspec

            self.fs, self.root = fsspec.core.url_to_fs(self.url, **told)

    @contextmanager
    def asked(self, doing: str) -> Iterator[None]:
        """Translate what any file system raises."""
        try:
            yield
        except (ClustrixError, AssertionError):
            raise
        except ImportError as error:
            raise ConfigError(
                f"store: {error}", hint='Install what it needs: pip install "clustrix-k8s[store]"'
            ) from error
        except (FileNotFoundError, PermissionError) as error:
            raise CommandError(f"the object store {self.url} refuses {doing}: {error}", hint=_NEXT) from error
        except Exception as error:  # of what is below fsspec, which is not known here
            words = f"{doing}: {type(error).__name__}: {error}"
            if "redential" in words:
                raise CommandError(f"no login for the object store {self.url}, {words}", hint=_NEXT) from error
            raise TransportError(f"the object store {self.url} cannot be reached, {words}") from error

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def has(self, name: str) -> bool:
        with self.asked(f"the question for {name}"):
            return bool(self.fs.exists(self.path(name)))

    def sign(self, name: str, upload: bool = False) -> str:
        """Return a URL by which anybody may get an object, or put one there."""
        with self.asked("to sign"):
            return str(self.fs.sign(self.path(name), LIFE, **(_UPLOAD[self.kind] if upload else {})))

    def put(self, name: str, source: Path, going: Callable[[], None], digest: str = "") -> str:
        """Send a file in constant memory; return its SHA-256, which must be ``digest`` where that is given.

        What is broken off is not there.
        """
        whole = hashlib.sha256()
        with source.open("rb") as file:
            with self.asked("an upload"):
                target = self.fs.open(self.path(name), "wb", block_size=PIECE, autocommit=False)
            try:
                while data := file.read(STEP):
                    going()
                    whole.update(data)
                    with self.asked("an upload"):
                        target.write(data)
                if digest not in ("", whole.hexdigest()):
                    raise OSError(f"{source.resolve()} is not what it was")
                with self.asked("an upload"):
                    target.close()
                    target.commit()
            except BaseException:
                target.closed = True
                with suppress(Exception):  # where the store is away, its own clean-up must do
                    target.discard()
                raise
        return whole.hexdigest()

    def remove(self, name: str) -> None:
        """Remove an object, or all below a name; nothing there is no error."""
        with self.asked(f"removing {name}"):
            try:
                self.fs.rm(self.path(name), recursive=True)
            except FileNotFoundError:
                pass


def check(cluster: Cluster) -> Sequence[Problem]:
    """Return why nothing can be put into the store, or signed."""
    try:
        store = Store(cluster.options)
        with store.asked("a new object"):
            store.fs.pipe_file(store.path(name := "doctor"), b"")
        store.remove(name)
        store.sign(name)
    except ClustrixError as error:
        return [Problem("error", str(error.args[0]), error.hint or "")]
    return []


def send(
    files: Mapping[str, Path], cluster: Cluster, arrived: Callable[[str], None], going: Callable[[], None]
) -> None:
    """Send blobs; see ``clustrix_core.model.Blobs``."""
    store = Store(cluster.options)
    for digest, path in files.items():
        try:
            store.put(f"blobs/{digest}", path, going, digest)
        except CommandError as error:
            raise StagingError(str(error.args[0]), hint=error.hint) from error
        except OSError as error:
            raise StagingError(
                f"a file or folder has changed since the call that it was an argument of: {error}",
                hint="Leave it as it is until the job is submitted, and call it again.",
            ) from error
        arrived(digest)


def collect(cluster: Cluster) -> None:
    """Remove blobs that no job needs; see ``clustrix_core.model.Blobs``."""
    store = Store(cluster.options)
    with store.asked("the list of what is there"):
        now = time.time()
        there = {path.rpartition("/")[2] for path in store.fs.find(store.path("blobs"))}
        lists = [path for path in store.fs.find(store.path("jobs")) if path.endswith("/needs")]
        needed = {line.split(b" ")[0].decode() for path in lists for line in store.fs.cat_file(path).splitlines()}
        for digest in there - needed:
            if now - store.fs.modified(store.path(f"blobs/{digest}")).timestamp() > YOUNG:
                store.remove(f"blobs/{digest}")


def load(job: JobSpec, cluster: Cluster, missing: int) -> dict[str, Path | bytes]:
    """Return what goes into Secrets; the rest of a job's files is in the store then, or was sent there before.

    Raises StagingError with the code ``missing`` where blobs are to be sent first.
    """
    try:
        return _loaded(job, Store(cluster.options), missing)
    except TransportError as error:  # there is no job yet
        raise StagingError(str(error.args[0]), transient=True, hint=error.hint) from error


def _loaded(job: JobSpec, store: Store, missing: int) -> dict[str, Path | bytes]:
    small: dict[str, Path | bytes] = {}
    get = _needed(job, store, missing) if "needs" in job.files else {}
    for name, path in job.files.items():
        if name == "needs":
            continue
        if path.stat().st_size < LARGE:
            small[name] = path
        else:
            digest = store.put(key := f"jobs/{job.id}/{name}", path, lambda: None)
            get[name] = [store.sign(key), digest, path.stat().st_size, key]
    put = {str(task): store.sign(f"jobs/{job.id}/{_result(job.round, task)}", True) for task in range(job.tasks)}
    return {**small, "store": json.dumps({"get": get, "put": put}).encode()}


def again(job: JobSpec, cluster: Cluster, before: bytes) -> bytes:
    """Return the orders of an earlier round, signed anew: a job of several rounds may live longer than a signature."""
    store = Store(cluster.options)
    old = json.loads(before)["get"]
    get = {name: [store.sign(key), digest, length, key] for name, (_, digest, length, key) in old.items()}
    put = {str(task): store.sign(f"jobs/{job.id}/{_result(job.round, task)}", True) for task in range(job.tasks)}
    return json.dumps({"get": get, "put": put}).encode()


def _needed(job: JobSpec, store: Store, missing: int) -> dict[str, list[Any]]:
    text = job.files["needs"].read_bytes()
    wanted = [line.split() for line in text.decode("ascii").splitlines()]
    with store.asked("an upload"):  # before the question: from now on nobody removes them
        store.fs.pipe_file(store.path(f"jobs/{job.id}/needs"), text)
    absent = [digest for digest, _ in wanted if not store.has(f"blobs/{digest}")]
    if absent:
        raise StagingError("data that it needs is not in the store", returncode=missing, missing=" ".join(absent))
    return {
        f"blobs/{digest}": [store.sign(f"blobs/{digest}"), digest, int(length), f"blobs/{digest}"]
        for digest, length in wanted
    }


def _result(round: int, task: int) -> str:
    return f"result-{round}.{task}"


def result_of(handle: JobHandle, task: int) -> str:
    """Return the name of what a task leaves in the store."""
    return f"jobs/{handle.job}/{_result(handle.round, task)}"
