"""What a client learns of a Grid Engine: room, limits, and requests that could never run."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence

from clustrix_core.batch import words
from clustrix_core.model import Cluster, JobSpec, Node, Problem, Site, nearest
from clustrix_core.transport import Completed
from clustrix_sge.accounting import number_of_bytes
from clustrix_sge.directives import PREFIX, directives
from clustrix_sge.programs import XML, awk, shell, user

_UNUSABLE = set("aAcCdDEsSu")  # states of a queue in which it takes no jobs (qstat(1))
# One line for each queue instance; jobs in it have a state and a name of their own.
_INSTANCES = (
    XML
    + """
    tag ~ /^job_list/ { job = 1 }
    tag == "/job_list" { job = 0 }
    !job && tag ~ /^(slots_used|slots_resv|slots_total|state)$/ { of[tag] = text }
    tag ~ /^resource / { of["memory"] = text }
    tag == "/Queue-List" {
        free = of["slots_total"] - of["slots_used"] - of["slots_resv"];
        print "instance|" free "|" of["state"] "|" of["memory"]; split("", of)
    }
"""
)


def commands(cluster: Cluster) -> Sequence[str]:
    asked, options = cluster.resources, cluster.options
    memory = shlex.quote(options.memory_resource)
    where = f" -q {shlex.quote(asked.partition)}" if asked.partition else ""
    if asked.cores > 1:
        where += f" -pe {shlex.quote(options.parallel_environment)}"
    facts = (
        "qstat -help | sed -n '1s/^/version|/p'",
        "qconf -sconf | sed -n 's/^max_aj_tasks */max_aj_tasks|/p'",
        "qconf -sql | sed 's/^/queue|/'",
        "qconf -spl | sed 's/^/environment|/'",
        "sed -n 's/^/request|/p' ~/.sge_request 2>/dev/null",
        'qconf -sc | awk \'NF == 8 { print "resource|" $1 "|" $6; print "resource|" $2 "|" $6 }\'',
    )
    room = f"qstat -f -xml -F {memory} -U {user(cluster)}{where} | {awk(_INSTANCES)}"
    return [words(shell(cluster, command)) for command in (room, "; ".join(facts))]


def read(text: str, site: Site, cluster: Cluster) -> Site:
    """Return the site with its free room in the cluster's queue, its largest array and its version."""
    rooms = [told.split("|") for told in _told(text, "instance") if re.fullmatch(r"-?\d+\|[^|]*\|[^|]*", told)]
    largest = next(_told(text, "max_aj_tasks"), "")
    return dataclasses.replace(
        site,
        nodes=tuple(
            Node(int(free), number_of_bytes(memory) if memory else None)
            for free, state, memory in rooms
            if int(free) > 0 and not _UNUSABLE & {*state}
        ),
        max_array=int(largest) or None if largest.isdigit() else None,  # 0: no limit (sge_conf(5))
        scheduler=f"Grid Engine, {next(_told(text, 'version'), '') or 'of unknown version'}",
    )


def check(cluster: Cluster, site: Site, text: str) -> Sequence[Problem]:
    """Return what of the cluster's default resources this Grid Engine could never satisfy, and what else is wrong."""
    if not list(_told(text, "version")):
        hint = "Is this a login node? If a profile sets Grid Engine up, name its settings.sh: options: {settings: …}"
        return [Problem("error", f"there is no qstat: {text.strip()[:300]}", hint)]
    found = [*_waiting(text), *_unknown(cluster, text), *_counted(cluster, text)]
    for ask in (_impossible, _not_shared):
        if not any(problem.severity == "error" for problem in found):
            found += ask(cluster, site)
    return found


def _waiting(text: str) -> Iterator[Problem]:
    """No option of qsub overrides this one: it would not come back before the job is over."""
    if any(re.search(r"-sync\s+y", line) for line in _told(text, "request")):
        yield Problem("error", "~/.sge_request holds -sync y", "Take it out; submissions would wait for their jobs.")


def _unknown(cluster: Cluster, text: str) -> Iterator[Problem]:
    queues, environments = list(_told(text, "queue")), list(_told(text, "environment"))
    asked, environment = cluster.resources, cluster.options.parallel_environment
    for name in (asked.partition or "").split(","):
        # A queue may be named with a host or a group of hosts: all.q@n1, all.q@@big.
        if name and name.partition("@")[0] not in queues:
            yield Problem("error", f"there is no queue {name!r}", nearest(name, queues))
    if environment not in environments:
        hint = f"Set options: {{parallel_environment: …}}. {nearest(environment, environments)}"
        missing = f"there is no parallel environment {environment!r}, which calls of several cores need"
        yield Problem("error" if asked.cores > 1 else "warning", missing, hint)


def _impossible(cluster: Cluster, site: Site) -> Iterator[Problem]:
    """Ask Grid Engine itself: it verifies a job without taking it, as if it was empty."""
    job = JobSpec("0" * 16, "doctor", cluster.resources)
    asked = _qsub(cluster, job, "-w", "v", "true")
    if asked.returncode:
        said = re.sub(r"Unable to run job: (Job \d+ )?|verification: .*|Exiting\.", "", asked.error or asked.text)
        hint = "Grid Engine would refuse it, or let it wait for ever; see partition=, cores=, memory= and time=."
        yield Problem("error", f"no job with the default resources can run: {' '.join(said.split())[:500]}", hint)


def _counted(cluster: Cluster, text: str) -> Iterator[Problem]:
    """How the resources that memory and GPUs are asked for as are counted (sge_complex(5))."""
    asked, options = cluster.resources, cluster.options
    how = dict(told.partition("|")[::2] for told in _told(text, "resource"))
    name = options.memory_resource
    if how.get(name) == "NO" and asked.memory:
        hint = "A node may get more jobs than fit into it: ask the site which resource it counts (memory_resource)."
        yield Problem("warning", f"{name} limits the memory of a job, but is not counted", hint)
    if how.get(name) in ("YES", "JOB") and options.memory_per_slot is not (how[name] == "YES"):
        what, right = ("slot", "true") if how[name] == "YES" else ("job", "false")
        hint = f"Set options: {{memory_per_slot: {right}}}, or a call of several cores asks for the wrong amount."
        yield Problem("warning", f"{name} is counted for each {what} here", hint)
    if how.get(options.gpu_resource) == "YES" and asked.gpus and asked.cores > 1:
        hint = f"Ask in directives: for what one slot needs, like '-l {options.gpu_resource}=1', in place of gpus."
        yield Problem("warning", f"{options.gpu_resource} is counted for each slot here", hint)


def _not_shared(cluster: Cluster, site: Site) -> Iterator[Problem]:
    """Ask a compute node for work_dir, if one has room at once."""
    asked = dataclasses.replace(cluster.resources, cores=1, gpus=None)
    job = JobSpec("0" * 16, "doctor", asked)
    answer = _qsub(cluster, job, "-wd", "/", "-now", "y", "-sync", "y", "-shell", "n", "test", "-O", site.work_dir)
    if "exited with exit code 1" in answer.text + answer.error:
        yield Problem(
            "error",
            f"work_dir {site.work_dir!r} is not there on a compute node",
            "Set work_dir to a directory that login and compute nodes share.",
        )
    elif answer.returncode:
        yield Problem("warning", f"no compute node could be asked for work_dir: {(answer.error or answer.text)[-300:]}")


def _qsub(cluster: Cluster, job: JobSpec, *more: str) -> Completed:
    """Return what qsub says of a command with the options of a job; one that does not begin soon is taken back."""
    options = [shlex.split(line.removeprefix(PREFIX)) for line in directives(job, cluster)]
    argv = ["timeout", "20", "qsub", *(word for words in options for word in words), "-b", "y", *more]
    taken_back = f"{words(argv)}; code=$?; [ $code != 124 ] || qdel {job.name} >/dev/null; exit $code"
    return cluster.transport.run(words(shell(cluster, taken_back)))


def _told(text: str, kind: str) -> Iterator[str]:
    return (line[len(kind) + 1 :] for line in text.splitlines() if line.startswith(f"{kind}|"))
