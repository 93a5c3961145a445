"""What qsub, qstat, qdel, qselect, qrls, qhold and pbsnodes of the fake PBS server do: (stdout, stderr, exit code)."""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.testbeds.pbs import shown
from tests.testbeds.pbs.jobs import DELETED, SERVER, Job

if TYPE_CHECKING:
    from tests.testbeds.pbs.server import Server

Answer = tuple[str, str, int]
QSUB = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:q:r:R:S:u:v:VW:XzP:"
TORQUE_QSUB = "a:A:b:c:C:d:D:e:fF:hIj:k:l:m:M:nN:o:p:P:q:r:S:t:u:v:Vw:W:Xz"
USAGE = "usage: qsub [-a date_time] [-A account_string] [-c interval]\n\t[-C directive_prefix] [-e path] …\n"
RESOURCES = {"ncpus", "mem", "vmem", "walltime", "nodect", "ngpus", "host", "arch", "pmem", "cput", "gpus", "ppn"}


class Refused(Exception):
    """A command's error: its words and its exit code."""

    def __init__(self, words: str, rc: int) -> None:
        super().__init__(words)
        self.rc = rc


def run(server: Server, program: str, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    if server.settings.down and argv[:1] != ["--version"]:
        words = f"Connection refused\n{program}: cannot connect to server {SERVER} (errno=15010)\n"
        return "", words, 255 if program == "qstat" else 162
    known = {"qsub": _qsub, "qstat": _qstat, "qdel": _qdel, "qselect": _qselect, "qrls": _qrls, "qhold": _qhold}
    try:
        if program == "pbsnodes":
            return shown.node(server.running(), server.settings), "", 0
        return known[program](server, argv, asked, user)
    except Refused as refused:
        return "", f"{refused}\n", refused.rc


# -- qsub


def _qsub(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    if argv == ["--version"]:
        return shown.version(server.settings), "", 0
    letters = TORQUE_QSUB if server.settings.torque else QSUB
    options, operands = _options(argv, letters)
    script = (
        Path(asked["cwd"], operands[0]).read_bytes() if operands else asked["stdin"].encode(errors="surrogateescape")
    )
    text = script.decode("utf-8", "surrogateescape")
    if "\r\n" in text:
        raise Refused("qsub: script is written in DOS/Windows text file format", 1)
    prefix = asked["env"].get("PBS_DPREFIX", "#PBS")
    head = [option for words in _directives(text, prefix) for option in _options(words, letters)[0]]
    job = _job(server, [*head, *options], text, asked, user)
    job.options = [*argv]
    _accept(server, job)
    return f"{job.id}\n", "", 0


def _options(argv: list[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt.getopt(argv, letters)
    except getopt.GetoptError as error:
        raise Refused(f"qsub: {error}\n{USAGE}", 2) from None


def _directives(text: str, prefix: str) -> Iterable[list[str]]:
    """Yield the words of each directive: up to the first line that is neither a comment nor blank."""
    for line in text.split("\n"):
        if prefix and line.startswith(prefix):
            yield shlex.split(line[len(prefix) :])
        elif line.strip() and not line.startswith(("#", ":")):
            return


def _job(server: Server, options: list[tuple[str, str]], text: str, asked: dict[str, Any], user: str) -> Job:
    said = {}
    resources: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for letter, value in options:
        said[letter] = value
        if letter == "-l":
            # In a request for nodes or chunks commas and signs of equality are its own.
            whole = re.fullmatch(r"(select|place)=(.*)", value)
            for part in [value] if whole else value.split(","):
                name, _, amount = part.partition("=")
                resources[name] = amount
        elif letter == "-W":
            attributes |= dict(part.split("=", 1) for part in value.split(",") if "=" in part)
    name = said.get("-N", "STDIN")
    if len(name) > 230 or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+_.\-]*", name):
        raise Refused(f"qsub: illegal -N value\n{USAGE}", 2)
    array, limit = _array(server, said.get("-t" if server.settings.torque else "-J"))
    queue = server.queues.get(said.get("-q", "workq"))
    if queue is None:
        raise Refused("qsub: Unknown queue", 170)
    if not queue.enabled:
        raise Refused("qsub: Queue is not enabled", 183)
    job = Job(
        server.next, None, array, name, user, text, asked["cwd"], _environment(said, asked["env"]), queue.name, [],
        max_run=limit,
        shell=said.get("-S", "/bin/bash"),
        output=said.get("-o", "").rpartition(":")[2],
        error=said.get("-e", "").rpartition(":")[2],
        join=said.get("-j", "n"),
        mail=said.get("-m", "a"),
        account=said.get("-A", ""),
        rerunnable=said.get("-r", "y") == "y",
        walltime=queue.default_walltime,
    )  # fmt: skip
    _resources(job, resources)
    if queue.max_walltime is not None and (job.walltime or 0) > queue.max_walltime:
        raise Refused("qsub: Job violates queue and/or server resource limits", 209)
    if "-h" in said:
        job.state, job.holds = "H", "u"
    if depend := attributes.get("depend"):
        kind, *ids = depend.split(":")
        job.depend, job.state, job.holds = [(kind, id) for id in ids], "H", "s" if job.holds == "n" else "us"
    return job


def _environment(said: dict[str, str], env: dict[str, str]) -> dict[str, str]:
    found = {f"PBS_O_{name}": env[name] for name in ("HOME", "LANG", "PATH", "SHELL", "LOGNAME") if name in env}
    if "-V" in said:
        found |= {name: value for name, value in env.items() if not name.startswith("PBS_")}
    for part in re.split(r"(?<!\\),", said.get("-v", "")):
        if part:
            name, equals, value = part.partition("=")
            found[name] = value.replace("\\,", ",") if equals else env.get(name, "")
    return found


def _array(server: Server, said: str | None) -> tuple[tuple[int, ...], int | None]:
    if said is None:
        return (), None
    found = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?:%(\d+))?", said)
    least = 0 if server.settings.torque else 1
    if found is None or int(found[2]) - int(found[1]) < least:
        raise Refused(f"qsub: illegal -J value\n{USAGE}", 2)
    indexes = tuple(range(int(found[1]), int(found[2]) + 1, int(found[3] or 1)))
    if len(indexes) > server.settings.max_array:
        raise Refused("qsub: Array job exceeds server or queue size limit", 3)
    return indexes, int(found[4]) if found[4] else None


def _resources(job: Job, asked: dict[str, str]) -> None:
    for name, value in asked.items():
        if name in ("select", "nodes"):
            number, *more = value.split(":")
            job.chunks = int(number) if number.isdigit() else 1
            for part in more if number.isdigit() else [number, *more]:
                word, equals, amount = part.partition("=")
                if equals:
                    _chunk(job, word, amount)
        elif name != "place":
            _chunk(job, name, value)
    job.asked = {"ncpus": str(job.ncpus * job.chunks), "nodect": str(job.chunks), **asked}
    if job.walltime is not None:
        job.asked["walltime"] = shown.clock(job.walltime)


def _chunk(job: Job, name: str, value: str) -> None:
    if name not in RESOURCES:
        raise Refused(f"qsub: Unknown resource: {name}", 187)
    try:
        if name in ("ncpus", "ppn"):
            job.ncpus = int(value)
        elif name == "mem":
            found = re.fullmatch(r"(\d+)([kmgt]?)b", value)
            if found is None:
                raise ValueError(value)
            job.memory = int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[found[2]]
        elif name == "walltime":
            job.walltime = 0
            for part in value.split(":"):
                job.walltime = 60 * job.walltime + int(part)
    except ValueError:
        raise Refused(f"qsub: Illegal attribute or resource value Resource_List.{name}", 166) from None


def _accept(server: Server, job: Job) -> None:
    server.next += 1
    server.jobs[job.number, None] = job
    for index in job.array:
        task = Job(**{**job.__dict__, "index": index, "array": (), "depend": []})
        server.jobs[job.number, index] = task
    server.await_others(job)


# -- qstat, qselect


def _qstat(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    if argv == ["--version"]:
        return shown.version(server.settings), "", 0
    options, ids = _options(argv, "fwtxQBu:1an")
    flags = {letter[1] for letter, _ in options}
    if "Q" in flags:
        return shown.queues(server.queues.values(), server.settings), "", 0
    if "B" in flags:
        return shown.server(server.settings), "", 0
    if "x" in flags and server.settings.torque:
        raise Refused("qstat: illegal option", 2)
    history = "x" in flags or server.settings.torque
    found, errors, rc = [], [], 0
    for id in ids or [job.id for job in server.jobs.values() if job.index is None and (history or not job.over)]:
        job = server.find(id)
        words, code = _trouble(server, job, id, history, "x" in flags)
        if words:
            errors.append(words)
            rc = code
        elif job is not None:
            found += [job, *(server.tasks(job) if "t" in flags else [])]
    out = shown.table(found, server.settings)
    if "f" in flags:
        whole = "w" in flags or "1" in flags
        out = "".join(shown.job(job, server.tasks(job), server.settings, whole) for job in found)
    return out, "".join(f"qstat: {line}\n" for line in errors), rc


def _trouble(server: Server, job: Job | None, id: str, history: bool, asked: bool) -> tuple[str, int]:
    """Return why qstat does not show a job, and its exit code."""
    if asked and not server.settings.history and job is None:
        return f"PBS is not configured to maintain job history {id}", 0
    if job is None:
        return f"Unknown Job Id {id}", 153
    if job.state == "F" and not history:
        return f"{id} Job has finished, use -x or -H to obtain historical job information", 35
    return "", 0


def _qselect(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    options = dict(_options(argv, "xu:N:s:t")[0])
    if "-x" in options and not server.settings.history:
        raise Refused("qselect: PBS is not configured to maintain job history", 36)
    history = "-x" in options or server.settings.torque
    wanted = [
        job.id
        for job in server.jobs.values()
        if job.index is None
        and (history or job.state != "F")
        and options.get("-u", job.owner) == job.owner
        and options.get("-N", job.name) == job.name
    ]
    return "".join(f"{id}\n" for id in wanted), "", 0


# -- qdel, qrls, qhold


def _qdel(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    errors, rc = [], 0
    _, ids = _options(argv, "W:xt:")
    for id in ids:
        job = server.find(id)
        if job is None:
            errors, rc = [*errors, f"qdel: Unknown Job Id {id}"], 153
        elif job.owner != user and user != "root":
            errors, rc = [*errors, f"qdel: Unauthorized Request  {id}"], 159
        elif job.over:
            errors, rc = [*errors, f"qdel: Job has finished {id}"], 35
        elif job.state == "E":
            errors, rc = [*errors, f"qdel: Request invalid for state of job {id}"], 168
        else:
            _delete(server, job)
    return "", "".join(f"{line}\n" for line in errors), rc


def _delete(server: Server, job: Job) -> None:
    job.why = "deleted"
    for task in server.tasks(job):
        if task.state == "R":
            server.node.end(task, "deleted")
    if job.state == "R" and not job.array:
        server.node.end(job, "deleted")
    else:
        server.never(job, DELETED)


def _qrls(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    for id in argv:
        job = server.find(id)
        if job is None:
            raise Refused(f"qrls: Unknown Job Id {id}", 153)
        job.holds = "s" if job.depend else "n"
        server.let_go(job)
    return "", "", 0


def _qhold(server: Server, argv: list[str], asked: dict[str, Any], user: str) -> Answer:
    for id in argv:
        job = server.find(id)
        if job is None:
            raise Refused(f"qhold: Unknown Job Id {id}", 153)
        if job.state == "Q":
            for one in (job, *server.tasks(job)):
                one.state, one.holds = "H", "u"
    return "", "", 0
