"""The first contact with a cluster: its work_dir, its Python, its scheduler; and what is wrong with them."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from clustrix_core import bundle
from clustrix_core.batch.dialect import Dialect
from clustrix_core.batch.script import modules, python, words
from clustrix_core.errors import ClustrixError, CommandError, ConfigError, StagingError, TransportError
from clustrix_core.model import Cluster, Problem, Site
from clustrix_core.transport import Completed

_OTHER = "Set work_dir to a directory of yours that the compute nodes see too, with room left."
_REFUSALS = {
    65: ("cannot be used", _OTHER),
    66: ("belongs to somebody else", _OTHER),
    69: ("is open to others", f"If you trust what lies there, close it: chmod 700. Else: {_OTHER}"),
}
OLDEST = (3, 6)
_SAME = "Set python: to an interpreter of the same minor version, and whatever can be pickled travels."
_PYTHON, _PROBE = "--- python ---", "--- probe ---"
_VERSION = (
    "import sys, sysconfig; print('Python', *sys.version_info[:2]);"
    " print('Interpreter', '%d.%d.%d' % sys.version_info[:3], sysconfig.get_platform(), sys.executable)"
)


def provision(dialect: Dialect, cluster: Cluster) -> Cluster:
    """Return the cluster with its ``site``. One exec: make work_dir, put the worker there, ask Python and scheduler.

    Raises StagingError where work_dir is foreign, not writable or full, ConfigError where there is no Python, and
    CommandError for a damaged answer.
    """
    completed = cluster.transport.run(_contact(dialect, cluster), [bundle.archive()])
    if completed.returncode:
        raise _refusal(completed, cluster)
    head, _, rest = completed.text.partition(_PYTHON + "\n")
    answer, _, probed = rest.partition(_PROBE + "\n")
    facts = _facts(head)
    if not {"work_dir", "user"} <= facts.keys():
        raise CommandError(f"the first contact failed: {completed.text[:300]!r} is no answer", transient=True)
    python = _version(answer, cluster)
    site = Site(facts["work_dir"], python, facts["user"], interpreter=_interpreter(answer), seen=time.time())
    return cluster.at(dialect.read_probe(probed, site, cluster))


def check(dialect: Dialect, cluster: Cluster) -> Sequence[Problem]:
    """Return what keeps jobs from running on this cluster. Raises TransportError where it cannot be reached."""
    try:
        site = provision(dialect, cluster).site
    except TransportError:
        raise
    except ClustrixError as error:
        return [Problem("error", str(error.args[0]), error.hint or "")]
    assert site is not None
    asked = cluster.transport.run(
        f"cd -- {shlex.quote(site.work_dir)} && {{ {_beside(dialect.probe(cluster), ':', ':')}; }}"
    )
    return [*other_python(site), *dialect.check(cluster, site, asked.text)]


def where(cluster: Cluster) -> str:
    """Return work_dir as a shell word. A leading ``~`` is the user's home over there."""
    if cluster.site is not None:
        return shlex.quote(cluster.site.work_dir)
    return words(["~/" if cluster.work_dir == "~" else cluster.work_dir])


def _contact(dialect: Dialect, cluster: Cluster) -> str:
    there = where(cluster)
    load = "; ".join(modules(cluster.resources)) or ":"
    return "; ".join(
        [
            "umask 077",
            f"[ -d {there} ] || mkdir -p -- {there} 2>/dev/null || {{ echo cannot create {there} >&2; exit 65; }}",
            f"[ -O {there} ] || {{ echo it belongs to $(ls -ldL -- {there} | awk '{{print $3}}') >&2; exit 66; }}",
            f"[ ! -L {there} ] || case $(ls -ldn -- {there} | awk '{{print $3}}') in 0|$(id -u)) ;;"
            " *) echo somebody else has made this link >&2; exit 66;; esac",
            f"cd -- {there} || exit 65",
            *_close(f"worker/{bundle.digest()}"),
            _unpack(f"worker/{bundle.digest()}"),
            'printf \'work_dir %s\\nuser %s\\n\' "$(pwd -P)" "$(id -un)"',
            _beside(
                dialect.probe(cluster),
                # Modules may talk, so the answer is recognised by its form.
                f"echo '{_PYTHON}'; ({load}; exec {python(cluster)} -c {shlex.quote(_VERSION)}) </dev/null 2>&1",
                f"echo; echo '{_PROBE}'",
            ),
            "exit 0",
        ]
    )


def _close(worker: str) -> Iterator[str]:
    """Yield what makes the working directory ours alone, and refuses it where others may have been at work in it.

    One that is in use and open is not closed in silence: nobody could tell then that it may hold somebody else's work.
    """
    names = "jobs worker slots"
    mine = "case $(ls -ld .) in d???------*) ;;"
    held = f"{names} envs blobs"
    found = "echo others could write to it, and it holds $name >&2; exit 69"
    in_use = f"for name in {held}; do [ ! -e $name ] || {{ {found}; }}; done"
    changed = f"chmod 700 . || exit 65; {mine} *) echo its mode cannot be changed: $(ls -ld .) >&2; exit 69;; esac"
    yield f"{mine} d????-??-*) {changed};; *) {in_use}; {changed};; esac"
    yield f"{{ [ -d jobs ] && [ -d worker ] && [ -d slots ] || mkdir -p {names}; }} || exit 65"
    yield (
        f"for name in . {held} {worker}; do [ ! -e $name ] || {{ [ -O $name ] && [ ! -L $name ]; }} ||"
        " { echo $name in it is not ours >&2; exit 66; }; done"
    )


def _beside(probe: Sequence[str], meanwhile: str, then: str) -> str:
    """Return what runs the commands of a probe and something else at a time, and prints what they said after it."""
    # A file for each: what two processes write into one pipe gets mixed. The directory's name is nobody else's:
    # process ids are used again, and by other login nodes at the same time.
    probing = " ".join(f"{{ {command}; }} >$said/{n} 2>&1 </dev/null &" for n, command in enumerate(probe))
    said = "said=$(mktemp -d ./.said.XXXXXX) || exit 65"
    return f"{said}; {probing} {meanwhile}; {then}; wait; cat $said/* 2>/dev/null; rm -rf $said"


def _unpack(worker: str) -> str:
    """Return what puts the worker there, from stdin, unless it is there whole.

    Scratch file systems are purged of files that nobody has read for long; their directories stay. ``complete`` is
    never read, so it is the first to go. Without -m all would be as old as the epoch, and go tonight.
    """
    new = "worker/new.$$"
    unpack = "tar -xzomf - -C {0} && : >{0}/complete"
    return (
        f"if [ -f {worker}/complete ]; then cat >/dev/null;"
        f" elif [ -d {worker} ]; then {unpack.format(worker)} || exit 65;"
        f" else rm -rf {new}; mkdir {new} && {unpack.format(new)} && {{ mv {new} {worker} || [ -d {worker} ]; }}"
        f" || {{ rm -rf {new}; exit 65; }}; fi"
    )


def _refusal(completed: Completed, cluster: Cluster) -> CommandError:
    why, hint = _REFUSALS.get(completed.returncode, _REFUSALS[65])
    return StagingError(
        f"work_dir {cluster.work_dir!r} {why}: {completed.error[-1000:] or f'exit {completed.returncode}'}",
        returncode=completed.returncode,
        stderr=completed.error,
        hint=hint,
    )


def _facts(text: str) -> Mapping[str, str]:
    return {key: value for key, _, value in (line.partition(" ") for line in text.split("\n"))}


def _version(said: str, cluster: Cluster) -> tuple[int, int]:
    match = re.search(r"^Python (\d+) (\d+)$", said, re.MULTILINE)
    if not match:
        raise _unanswered(said, cluster)
    return int(match[1]), int(match[2])


def _interpreter(said: str) -> str:
    match = re.search(r"^Interpreter (.+)$", said, re.MULTILINE)
    return match[1] if match else ""


def _unanswered(said: str, cluster: Cluster) -> ConfigError:
    unloaded = re.search(r"^clustrix: (.+)$", said, re.MULTILINE)
    if unloaded:
        return ConfigError(
            f"modules: {unloaded[1]} on the cluster: {said[: unloaded.start()].strip()[-300:]}".rstrip(": "),
            hint="Correct modules: in the cluster's configuration; `module avail` on the cluster lists what there is.",
        )
    return ConfigError(
        f"no Python answers to {cluster.python!r} on the cluster: {said.strip()[-300:]}",
        hint="Set python: in the cluster's configuration, or modules: that bring one.",
    )


def other_python(site: Site) -> Sequence[Problem]:
    """Return what there is to say of a cluster whose Python is of another minor version than ours."""
    here = sys.version_info[:2]
    if site.python == here:
        return []
    message = "Python {}.{} on the cluster, {}.{} here".format(*site.python, *here)
    if site.python < OLDEST:
        return [Problem("error", f"{message}: functions can be sent to 3.6 and later", _SAME)]
    return [Problem("warning", f"{message}: functions travel as source, with arguments that both know", _SAME)]
