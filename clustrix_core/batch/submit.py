"""Staging and submitting: one exec, files as a tar stream on stdin, then the scheduler's submit command."""

from __future__ import annotations

import dataclasses
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from clustrix_core import bundle
from clustrix_core.batch import archive
from clustrix_core.batch.dialect import Dialect
from clustrix_core.batch.script import modules, preparation, python, words
from clustrix_core.batch.site import where
from clustrix_core.errors import ClustrixError, PayloadError, StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec
from clustrix_core.transport import CHUNK, Completed
from clustrix_core.worker.admission import REFUSED

_STAGED = "clustrix: staged"
_NO_WORKER = 67
_GIVEN_UP = 68
NO_ENVIRONMENT = 70
NO_BLOBS = 72
_MISSING = "clustrix: missing"
_DIGEST = re.compile(r"(?<= )[0-9a-f]{64}(?=\s)")


def submit(dialect: Dialect, job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
    """Stage a job and submit it in one exec. Staging again over an earlier submission of the same job is harmless.

    Raises StagingError (there is no job), SubmitRejected (nor here: the scheduler's words) and TransportError (there
    may be one).
    """
    linked = _linked(job, cluster)
    completed = cluster.transport.run(_command(dialect, job, cluster, linked), _tar(job, script, linked))
    before, staged, after = completed.text.partition(_STAGED + "\n")
    if not staged:
        raise _not_staged(completed, before, cluster)
    if completed.returncode:
        raise _rejected(dialect, completed, after)
    return JobHandle(job.id, job.name, job_id(dialect, after), job.tasks, job.round, time.time())


def job_id(dialect: Dialect, said: str) -> str:
    """Return the scheduler's id of a job that it has accepted. Raises TransportError where it cannot be read."""
    try:
        return dialect.read_job_id(said)
    except TransportError:
        raise
    except Exception as error:
        raise TransportError(f"{dialect.name} answered {said.strip()[:200]!r}; there may be a job: {error}") from error


def _linked(job: JobSpec, cluster: Cluster) -> Mapping[str, Path]:
    """Return the files that need not be sent: large ones, where this machine's files are the cluster's."""
    if not cluster.transport.here:
        return {}
    return {name: path for name, path in job.files.items() if path.stat().st_size > CHUNK}


def _command(dialect: Dialect, job: JobSpec, cluster: Cluster, linked: Mapping[str, Path]) -> str:
    # Another file system allows no link; then a copy it is.
    links = [
        f"{{ ln -f -- {source} {name} 2>/dev/null || cp -- {source} {name} || undo; }}"
        for name, source in ((name, shlex.quote(str(path))) for name, path in linked.items())
    ]
    return "; ".join(
        [
            # What the function writes elsewhere gets the user's own modes: the scheduler hands our umask on.
            "old=$(umask); umask 077",
            f"[ -d {where(cluster)} ] || exit {_NO_WORKER}",
            f"cd -- {where(cluster)} || exit 65",
            "[ -O . ] || { echo it belongs to somebody else >&2; exit 66; }",
            "case $(ls -ld .) in d????-??-*) ;; *) echo others can write to it >&2; exit 69;; esac",
            f"[ -f worker/{bundle.digest()}/complete ] || exit {_NO_WORKER}",
            *([_environment(job.environment)] if job.environment else []),
            # Half a job is no use to anybody and fills a full disk further.
            f"failed= fresh=; [ -d {job.dir} ] || fresh=yes",
            f'undo() {{ [ -z "$fresh" ] || rm -rf -- {where(cluster)}/{job.dir}; exit ${{failed:-65}}; }}',
            f"mkdir -p {job.dir}/claims-{job.round} && cd ./{job.dir} || undo",
            f"[ ! -e {script_name(job)} ] || rm -f {script_name(job)} || undo",
            # tar takes a stream that was cut between two files for a whole one; the script comes last.
            f"tar -xof - && [ -f {script_name(job)} ] || undo",
            *links,
            *([_blobs()] if "needs" in job.files else []),
            *_admitted(job, cluster),
            # Whoever looks for it can tell by its processes whether the scheduler's command may still be at work.
            "read -r pid name state parent group more 2>/dev/null </proc/$$/stat || group=$$",
            f"{claim(job, 'sent $group $(uname -n)')} || exit {_GIVEN_UP}",
            f"echo '{_STAGED}'",
            # Whoever is not here to read the answer finds it in the job directory.
            f'said=$({{ umask "$old"; exec {words(dialect.submit(job, cluster))}; }} 2>{answer(job)}.err); code=$?',
            f'printf \'%s\\n\' "$code" "$said" >{answer(job)}; printf \'%s\\n\' "$said"',
            f"[ ! -s {answer(job)}.err ] || cat {answer(job)}.err >&2",
            'exit "$code"',
        ]
    )


def _blobs() -> str:
    """Return what gives the job a name of its own for each blob that it needs, or says which are not there.

    So blobs stay while a job has them, and whoever removes the job's directory has let go of them.
    """
    there, own = "../../../blobs/$name", "blobs/$name"  # digests: nothing in them is special to a shell
    copied = f"{{ [ -f {there} ] && {{ cp {there} {own} || {{ rm -f {own}; false; }}; }}; }}"  # no links there
    each = f'[ -f {own} ] || ln {there} {own} 2>/dev/null || {copied} || missing="$missing $name"'
    return (
        # A network file system may remember that they were not there, until somebody lists the directory.
        f"{{ mkdir -p blobs && {{ ls ../../../blobs >/dev/null 2>&1 || :; }}; }} || undo; missing=;"
        f" while read -r name size; do {each}; done <needs;"
        f' [ -z "$missing" ] || {{ echo "{_MISSING}$missing"; failed={NO_BLOBS}; undo; }}'
    )


def _environment(key: str) -> str:
    """Return what insists on a complete environment, and notes that it is in use."""
    there = f"[ -f envs/{key}/complete ]"
    # A network file system may remember that it was not there, until somebody lists the directory.
    looked = f"{{ ls envs/{key} >/dev/null 2>&1; {there}; }}"
    return f"{there} || {looked} || exit {NO_ENVIRONMENT}; : >envs/{key}/used"


def _admitted(job: JobSpec, cluster: Cluster) -> Iterator[str]:
    """Yield what asks the Python over there whether it takes a function that travels as source.

    It has the modules and the variables of the job. What the job's setup brings is not there yet.
    """
    if "source" not in job.files:
        return
    bare = dataclasses.replace(job.resources, setup=(), modules=())
    load = [*preparation(bare), *modules(job.resources)]
    worker = f"{where(cluster)}/worker/{bundle.digest()}"
    interpreter = f"{where(cluster)}/{job.environment_dir}/bin/python" if job.environment else python(cluster)
    ask = "; ".join([*load, f"exec {interpreter} {worker} admit {int(bool(job.resources.setup))}"])
    yield f"({ask}) </dev/null >&2 || {{ [ $? -ne {REFUSED} ] || failed={REFUSED}; undo; }}"


def claim(job: JobSpec, word: str) -> str:
    """Return what decides, once and for all, what becomes of a submission: it fails where that is decided already.

    A submission whose client has died may still be on its way. Whoever looks for it in vain gives it up in its place,
    and then it goes no further.
    """
    return f"(set -C; echo {word} >submission-{job.round}.{job.submission}) 2>/dev/null"


def answer(job: JobSpec) -> str:
    """Return the file of the scheduler's answer: its exit code, then what it said."""
    return f"answer-{job.round}.{job.submission}"


def script_name(job: JobSpec) -> str:
    """Return the script's name in the job directory."""
    return f"job-{job.round}.sh"


def _tar(job: JobSpec, script: str, linked: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a job's files, its script last, as a tar stream."""
    yield from archive.members({name: path for name, path in job.files.items() if name not in linked})
    yield archive.text(script_name(job), script.encode()) + archive.END


def _not_staged(completed: Completed, before: str, cluster: Cluster) -> ClustrixError:
    if completed.returncode == 0:
        return TransportError(f"the answer is damaged, and there may be a job: {completed.text[-300:]!r}")
    if completed.returncode == _GIVEN_UP:
        return TransportError("this submission came too late, it was given up")
    if completed.returncode == _NO_WORKER:
        return StagingError("the worker is gone from work_dir", returncode=_NO_WORKER, transient=True)
    if completed.returncode == NO_ENVIRONMENT:
        return StagingError("the environment is not on the cluster", returncode=NO_ENVIRONMENT)
    if completed.returncode == NO_BLOBS:
        # Damaged, it may name too few: the next submission tells the others.
        missing = " ".join(_DIGEST.findall(before.rpartition(_MISSING)[2]))
        return StagingError("data that it needs is not on the cluster", returncode=NO_BLOBS, missing=missing)
    said = completed.error or before.strip() or f"exit {completed.returncode}"
    if completed.returncode == REFUSED:
        return PayloadError(
            f"the Python of the cluster does not take this function:\n{said[-2000:]}",
            hint="Versions differ, so it travels as source. Write what both know, or set python: to the version here.",
        )
    site = cluster.site.work_dir if cluster.site else cluster.work_dir
    return StagingError(
        f"the job's files could not be put into {site!r}: {said[-1000:]}",
        returncode=completed.returncode,
        stderr=completed.error,
        hint="Is it writable, and is there room left (quota)?",
    )


def unsure(dialect: Dialect, code: int, said: str) -> bool:
    """Return whether the scheduler may have accepted a job although its command has failed."""
    killed = 128 < code < 160  # by a signal, perhaps after the scheduler had accepted
    return killed or dialect.unsure.search(said) is not None


def _rejected(dialect: Dialect, completed: Completed, after: str) -> ClustrixError:
    said = completed.error or after.strip() or "no reason given"
    if unsure(dialect, completed.returncode, said):
        return TransportError(f"{dialect.name} did not answer in time, the job may have been accepted: {said}")
    if completed.returncode in (126, 127):
        return SubmitRejected(f"{dialect.name} is not there: {said}", hint="Is this the login node of the cluster?")
    return SubmitRejected(
        f"{dialect.name} refused the job: {said}", hint="Change what it names, or ask `clustrix doctor`."
    )


__all__ = ["NO_BLOBS", "NO_ENVIRONMENT", "script_name", "submit"]
