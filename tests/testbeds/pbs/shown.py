"""How qstat and pbsnodes of the fake PBS server show things: as OpenPBS 23.06.06 does, or as Torque is documented."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.testbeds.pbs.jobs import CPUS, MEMORY, SERVER, Job, Queue, Settings

WIDTH = 79


def job(one: Job, tasks: Iterable[Job], settings: Settings, unfolded: bool) -> str:
    """Return what ``qstat -f`` prints of a job."""
    known = _torque(one) if settings.torque else _openpbs(one, list(tasks), settings)
    return block(f"Job Id: {one.id}", known, unfolded)


def block(head: str, attributes: dict[str, object], unfolded: bool = False) -> str:
    lines = [head]
    for name, value in attributes.items():
        text = f"    {name} = {value}"
        lines.append(text.replace("\n", "\\n") if unfolded else fold(text))
    return "\n".join([*lines, "", ""])


def fold(text: str) -> str:
    """Mid-word, with a tab that counts for eight columns."""
    parts, rest = [text[:WIDTH]], text[WIDTH:]
    while rest:
        parts.append(rest[: WIDTH - 8])
        rest = rest[WIDTH - 8 :]
    return "\n\t".join(parts)


def clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _date(moment: float) -> str:
    return time.ctime(moment)


def _openpbs(one: Job, tasks: list[Job], settings: Settings) -> dict[str, object]:
    found: dict[str, object] = {"Job_Name": one.name, "Job_Owner": f"{one.owner}@{SERVER}"}
    if one.started:
        found |= {
            "resources_used.cpupercent": 0,
            "resources_used.cput": "00:00:00",
            "resources_used.mem": f"{one.peak >> 10}kb",
            "resources_used.ncpus": one.ncpus,
            "resources_used.vmem": f"{one.peak >> 10}kb",
            "resources_used.walltime": clock(one.used),
        }
    found |= {"job_state": one.state, "queue": one.queue, "server": SERVER, "Checkpoint": "u"}
    if one.depend:
        found["depend"] = ",".join(f"{kind}:{id}@{SERVER}" for kind, id in one.depend)
    found |= {"ctime": _date(one.created), "Error_Path": f"{SERVER}:{one.error or one.cwd + '/'}"}
    if one.started:
        found |= {"exec_host": f"{SERVER}/0*{one.ncpus}", "exec_vnode": f"({SERVER}:ncpus={one.ncpus})"}
    found |= {
        "Hold_Types": one.holds,
        "Join_Path": one.join,
        "Keep_Files": "n",
        "Mail_Points": one.mail,
        "mtime": _date(one.ended or one.started or one.created),
        "Output_Path": f"{SERVER}:{one.output or one.cwd + '/'}",
        "Priority": 0,
        "qtime": _date(one.created),
        "Rerunable": one.rerunnable,
        **{f"Resource_List.{name}": value for name, value in one.asked.items()},
    }
    if one.started:
        found |= {"stime": _date(one.started), "session_id": one.process.pid if one.process else 0}
    found |= {"substate": one.substate, "Variable_List": _variables(one)}
    if one.account:
        found["Account_Name"] = one.account
    if one.array:
        counts = dict.fromkeys(("Queued", "Running", "Exiting", "Expired"), 0)
        names = {"Q": "Queued", "H": "Queued", "R": "Running", "E": "Exiting"}
        for task in tasks:
            counts[names.get(task.state, "Expired")] += 1
        left = [task.index for task in tasks if task.state in "QH" and task.index is not None]
        found |= {
            "array": True,
            "array_state_count": " ".join(f"{name}:{number}" for name, number in counts.items()) + " ",
            "array_indices_submitted": f"{one.array[0]}-{one.array[-1]}",
            "array_indices_remaining": f"{left[0]}-{left[-1]}" if len(left) > 1 else left[0] if left else "-",
        }
    if one.index is not None:
        found |= {"array_id": f"{one.number}[].{SERVER}", "array_index": one.index}
    if one.comment:
        found["comment"] = one.comment.replace(",", "\\,")
    found["etime"] = _date(one.created)
    if one.runs:
        found["run_count"] = one.runs
    if one.over and one.started:
        found["Stageout_status"] = 1
    if one.status is not None and (one.over or one.state == "E"):
        found["Exit_status"] = one.status
    found["Submit_arguments"] = " ".join(one.options)
    if one.over and settings.history and one.ended:
        found["history_timestamp"] = int(one.ended)
    return found | {"project": "_pbs_project_default"}


def _torque(one: Job) -> dict[str, object]:
    name = one.name if one.index is None else f"{one.name}-{one.index}"
    found: dict[str, object] = {"Job_Name": name, "Job_Owner": f"{one.owner}@{SERVER}"}
    if one.started:
        found |= {"resources_used.mem": f"{one.peak >> 10}kb", "resources_used.walltime": clock(one.used)}
    state = "C" if one.over else one.state
    found |= {"job_state": state, "queue": one.queue, "server": SERVER, "Checkpoint": "u"}
    if one.depend:
        found["depend"] = ",".join(f"{kind}:{id}@{SERVER}" for kind, id in one.depend)
    found |= {"ctime": _date(one.created), "Error_Path": f"{SERVER}:{one.error or one.cwd + '/'}"}
    if one.started:
        found["exec_host"] = f"{SERVER}/0"
    found |= {
        "Hold_Types": one.holds,
        "Join_Path": one.join,
        "Mail_Points": one.mail,
        "Output_Path": f"{SERVER}:{one.output or one.cwd + '/'}",
        "Rerunable": one.rerunnable,
        **{f"Resource_List.{name}": value for name, value in one.asked.items()},
        "Variable_List": _variables(one),
        "euser": one.owner,
        "queue_type": "E",
    }
    if one.comment and not one.started:
        found["comment"] = one.comment
    if one.over:
        found["exit_status"] = 271 if one.status is None else one.status
    found |= {"submit_args": " ".join(one.options)}
    if one.started:
        found |= {"start_time": _date(one.started), "start_count": one.runs}
    if one.index is not None:
        found["job_array_id"] = one.index
    if one.over and one.ended:
        found["comp_time"] = _date(one.ended)
    return found


def _variables(one: Job) -> str:
    known = {"PBS_O_HOME": one.env.get("HOME", ""), "PBS_O_WORKDIR": one.cwd, "PBS_O_QUEUE": one.queue, **one.env}
    return ",".join(f"{name}={value}".replace("\\", "\\\\").replace(",", "\\,") for name, value in known.items())


def table(jobs: list[Job], settings: Settings) -> str:
    """Return plain qstat: names are cut at 15 characters."""
    if not jobs:
        return ""
    lines = [
        "Job id            Name             User              Time Use S Queue",
        "----------------  ---------------- ----------------  -------- - -----",
    ]
    for one in jobs:
        name = one.name if len(one.name) <= 15 else one.name[:15] + "*"
        state = "C" if settings.torque and one.over else one.state
        used = clock(one.used) if one.started else "0"
        lines.append(f"{one.id:<17} {name:<16} {one.owner:<16}  {used:>8} {state} {one.queue:<5}")
    return "\n".join([*lines, ""])


def queues(known: Iterable[Queue], settings: Settings) -> str:
    text = ""
    for queue in known:
        found: dict[str, object] = {"queue_type": "Execution", "total_jobs": 0}
        if queue.max_walltime is not None:
            found["resources_max.walltime"] = clock(queue.max_walltime)
        if queue.default_walltime is not None:
            found["resources_default.walltime"] = clock(queue.default_walltime)
        text += block(f"Queue: {queue.name}", found | {"enabled": queue.enabled, "started": queue.started})
    return text


def server(settings: Settings) -> str:
    found: dict[str, object] = {"server_state": "Active", "scheduling": True, "total_jobs": 0, "default_queue": "workq"}
    version = "6.1.2" if settings.torque else "23.06.06"
    if not settings.torque:
        found |= {"resources_default.ncpus": 1, "max_array_size": settings.max_array}
    return block(f"Server: {SERVER}", found | {"pbs_version": version})


def version(settings: Settings) -> str:
    return (
        "Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e\n"
        if settings.torque
        else ("pbs_version = 23.06.06\n")
    )


def node(running: list[Job], settings: Settings) -> str:
    taken = sum(one.ncpus * one.chunks for one in running)
    memory = sum((one.memory or 0) * one.chunks for one in running)
    if settings.torque:
        slots = [f"{n}/{one.id}" for one in running for n in range(one.ncpus)]
        found: dict[str, object] = {
            "state": "job-exclusive" if taken >= CPUS else "free",
            "np": CPUS,
            "ntype": "cluster",
        }
        if slots:
            found["jobs"] = ",".join(slots)
        found["status"] = f"opsys=linux,state=free,ncpus={CPUS},physmem={MEMORY >> 10}kb,arch=x86_64"
    else:
        found = {
            "Mom": SERVER,
            "ntype": "PBS",
            "state": "job-busy" if taken >= CPUS else "free",
            "pcpus": CPUS,
            "resources_available.arch": "linux",
            "resources_available.host": SERVER,
            "resources_available.mem": f"{MEMORY >> 10}kb",
            "resources_available.ncpus": CPUS,
            "resources_available.vnode": SERVER,
            "resources_assigned.mem": f"{memory >> 10}kb",
            "resources_assigned.ncpus": taken,
            "resv_enable": True,
            "sharing": "default_shared",
        }
    return "\n".join([SERVER, *(f"     {name} = {value}" for name, value in found.items()), "", ""])
