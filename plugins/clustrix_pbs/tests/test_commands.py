"""The backend against programs on PATH that answer as OpenPBS 23.06.06 was seen to, through the real transport."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import clustrix_pbs
from clustrix_core.errors import CommandError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobState, Node, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.counting import Counting
from clustrix_pbs import PBSOptions
from tests.unit import schedulers
from tests.unit.schedulers import JOB, Scheduler, handle, job, on_path, put

S = JobState
PROGRAMS = ("qsub", "qstat", "qselect", "qdel", "pbsnodes")
NAME = job().name
OURS = handle(native="17.vm")


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    monkeypatch.setenv("PBS_CONF_FILE", str(tmp_path / "pbs.conf"))
    return on_path(tmp_path, monkeypatch, PROGRAMS)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    made.mkdir()
    return made


@pytest.fixture
def hpc(work_dir: Path, pbs: Scheduler) -> Cluster:
    return schedulers.cluster(work_dir, backend="pbs", options=PBSOptions())


def runs(cluster: Cluster) -> int:
    assert isinstance(cluster.transport, Counting)
    return cluster.transport.runs


def asked(pbs: Scheduler, program: str) -> list[tuple[str, ...]]:
    return [call.argv[1:] for call in pbs.calls if call.argv[0] == program]


def shown(id: str = "17.vm", name: str = NAME, **attributes: object) -> str:
    """What ``qstat -f -w`` prints of a job, with what other people may have put beside it."""
    known = {"Job_Name": name, **attributes, "Variable_List": "SECRET=xyzzy,PBS_O_HOME=/home/ada"}
    return "\n".join([f"Job Id: {id}", *(f"    {key} = {value}" for key, value in known.items()), "", ""])


def live(pbs: Scheduler, *ids: str) -> None:
    pbs.answer("qselect", out="".join(f"{id}\n" for id in ids))


# -- submit


def test_a_job_is_submitted_from_its_directory(pbs: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    pbs.answer("qsub", out="17.vm\n")
    script = clustrix_pbs.render_script(job(), hpc)
    assert clustrix_pbs.submit(job(), script, hpc).native == "17.vm"
    (call,) = pbs.calls
    assert (call.argv, call.cwd) == (("qsub", "job-0.sh"), str(work_dir / job().dir))
    assert (work_dir / job().dir / "job-0.sh").read_text() == script and runs(hpc) == 1


@pytest.mark.parametrize(
    ("rc", "words"),
    [
        (170, "qsub: Unknown queue"),
        (187, "qsub: Unknown resource: foo"),
        (166, "qsub: Illegal attribute or resource value Resource_List.mem"),
        (2, "qsub: illegal -N value\nusage: qsub [-a date_time] [-A account_string]"),
        (3, "qsub: Array job exceeds server or queue size limit"),
        (1, "qsub: script is written in DOS/Windows text file format"),
    ],
)
def test_a_refusal_has_the_words_of_qsub(pbs: Scheduler, hpc: Cluster, rc: int, words: str) -> None:
    pbs.answer("qsub", err=words + "\n", rc=rc)
    with pytest.raises(SubmitRejected) as raised:
        clustrix_pbs.submit(job(), "#!/bin/bash\n", hpc)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        "Connection refused\nqsub: cannot connect to server vm (errno=15010)",
        "qsub: End of File",
        "qsub: Premature end of message",
    ],
)
def test_a_server_that_does_not_answer_may_have_taken_the_job(pbs: Scheduler, hpc: Cluster, words: str) -> None:
    pbs.answer("qsub", err=words + "\n", rc=162)
    with pytest.raises(TransportError, match="may have been accepted") as raised:
        clustrix_pbs.submit(job(), "#!/bin/bash\n", hpc)
    assert raised.value.transient


def test_only_producers_that_are_in_the_queue_are_waited_for(pbs: Scheduler, hpc: Cluster) -> None:
    """A dependency on a job that the server does not know would end the job at once."""
    pbs.answer("qsub", out="17.vm\n")
    after = {"aa": "14.vm", "bb": "15.vm", "cc": "", "dd": "1.vm", "ee": "x; id"}
    options: tuple[tuple[list[str], tuple[str, ...]], ...] = (
        (["12.vm", "14.vm", "15.vm", "11.vm"], ("-W", "depend=afterany:14.vm:15.vm")),
        (["15.vm"], ("-W", "depend=afterany:15.vm")),
        (["115.vm", "15.vm2"], ()),
        ([], ()),
    )
    for number, (queue, option) in enumerate(options):
        live(pbs, *queue)
        clustrix_pbs.submit(job(after=after, submission=number), "#!/bin/bash\n", hpc)
        assert asked(pbs, "qsub")[-1] == (*option, "job-0.sh")
    assert not asked(pbs, "qstat")


def test_a_queue_that_cannot_be_asked_for_producers_is_no_refusal(pbs: Scheduler, hpc: Cluster) -> None:
    pbs.answer("qselect", err="Connection refused\nqselect: cannot connect to server vm (errno=15010)\n", rc=162)
    with pytest.raises(TransportError, match="cannot connect"):
        clustrix_pbs.submit(job(after={"aa": "14.vm"}), "#!/bin/bash\n", hpc)
    assert not asked(pbs, "qsub")


def test_a_job_is_found_again_by_its_name(pbs: Scheduler, hpc: Cluster) -> None:
    live(pbs, "16.vm", "17.vm")
    pbs.answer("qstat", out=shown("16.vm", "other", job_state="R") + shown(job_state="Q"))
    found = clustrix_pbs.find(job(), hpc)
    assert found is not None and found.native == "17.vm" and len(asked(pbs, "qstat")) == 1


def test_a_job_that_is_over_is_found_by_its_name_in_the_history(pbs: Scheduler, hpc: Cluster) -> None:
    program = pbs.bin / "qselect"
    program.write_text(program.read_text().replace("exit ", 'case "$*" in *-x*) echo 17.vm;; esac; exit '))
    pbs.answer("qstat", out=shown(job_state="F", substate=92, Exit_status=0, stime="x"))
    found = clustrix_pbs.find(job(), hpc)
    assert found is not None and found.native == "17.vm"
    assert [argv[-2:] for argv in asked(pbs, "qselect")][-1] == ("-N", NAME)
    assert {"-x", "-t", "17.vm"} <= set(asked(pbs, "qstat")[0])


def test_a_job_that_never_was_is_not_found_with_or_without_history(pbs: Scheduler, hpc: Cluster) -> None:
    assert clustrix_pbs.find(job(), hpc) is None
    program = pbs.bin / "qselect"
    no = "echo qselect: PBS is not configured to maintain job history >&2; exit 36"
    program.write_text(program.read_text().replace("exit ", f'case "$*" in *-x*) {no};; esac; exit '))
    assert clustrix_pbs.find(job(), hpc) is None
    assert not asked(pbs, "qstat")


# -- status


@pytest.mark.parametrize("letter", list("QHWTREBSU"))
def test_what_the_queue_knows_the_history_is_not_asked(pbs: Scheduler, hpc: Cluster, letter: str) -> None:
    live(pbs, "17.vm")
    pbs.answer("qstat", out=shown(job_state=letter))
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert status.state is clustrix_pbs.answers.STATES[letter] and status.word == letter
    assert pbs.names == ["qselect", "qstat"] and runs(hpc) == 1


def test_what_is_nobodys_business_stays_there(pbs: Scheduler, hpc: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    run = hpc.transport.run

    def listen(*arguments: Any, **more: Any) -> Any:
        heard.append(run(*arguments, **more))
        return heard[-1]

    monkeypatch.setattr(hpc.transport, "run", listen)
    live(pbs, "17.vm")
    pbs.answer("qstat", out=shown(job_state="Q", comment="Not Running:\n\t wait").replace("xyzzy", "xy\n\tzzy"))
    assert clustrix_pbs.status([OURS], hpc)[JOB].reason == "Not Running: wait"
    assert "zzy" not in heard[0].text and "Variable_List" not in heard[0].text


@pytest.mark.parametrize(
    ("attributes", "state", "code"),
    [
        ({"Exit_status": 0, "substate": 92, "stime": "x"}, S.SUCCEEDED, 0),
        ({"Exit_status": 3, "substate": 93, "stime": "x"}, S.FAILED, 3),
        ({"Exit_status": -29, "substate": 93, "stime": "x"}, S.TIMEOUT, None),
        ({"Exit_status": -27, "substate": 93, "stime": "x"}, S.OUT_OF_MEMORY, None),
        ({"Exit_status": 271, "substate": 91, "stime": "x"}, S.CANCELLED, 143),
        ({"substate": 92}, S.CANCELLED, None),
        ({"substate": 91, "comment": "Not Running"}, S.CANCELLED, None),
    ],
)
def test_ends_that_only_the_history_knows(
    pbs: Scheduler, hpc: Cluster, attributes: dict[str, object], state: JobState, code: int | None
) -> None:
    pbs.answer("qstat", out=shown(job_state="F", **attributes))
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert (status.state, status.exit_code) == (state, code) and status.word
    assert pbs.names == ["qselect", "qstat"] and runs(hpc) == 2
    assert set(asked(pbs, "qstat")[0]) == {"-f", "-w", "-t", "-x", "17.vm"}


def test_an_end_by_a_limit_has_the_exit_code_of_its_marker(pbs: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    put(work_dir, OURS, {"status-0.0": b"EXIT 143\n"})
    pbs.answer("qstat", out=shown(job_state="F", Exit_status=-29, stime="x"))
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert (status.state, status.exit_code) == (S.TIMEOUT, 143)


@pytest.mark.parametrize(
    ("words", "rc"),
    [
        ("qstat: Unknown Job Id 99999.vm", 153),
        ("qstat: 99999.vm Job has finished, use -x or -H to obtain historical job information", 35),
    ],
)
def test_good_rows_count_whatever_else_was_asked_for(pbs: Scheduler, hpc: Cluster, words: str, rc: int) -> None:
    live(pbs, "17.vm", "99999.vm")
    pbs.answer("qstat", out=shown(job_state="R"), err=f"{words}\n", rc=rc)
    assert clustrix_pbs.status([OURS], hpc)[JOB].state is S.RUNNING


@pytest.mark.parametrize(
    ("words", "rc"),
    [("qstat: Unknown Job Id 17.vm", 153), ("qstat: PBS is not configured to maintain job history 17.vm", 0)],
)
def test_without_history_the_marker_tells(pbs: Scheduler, hpc: Cluster, work_dir: Path, words: str, rc: int) -> None:
    pbs.answer("qstat", err=f"{words}\n", rc=rc)
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert (status.state, status.reason) == (S.UNKNOWN, "")  # no outage: nobody knows the job
    put(work_dir, OURS, {"status-0.0": b"EXIT 3\n"})
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert (status.state, status.exit_code) == (S.FAILED, 3)


def test_a_server_that_is_down_is_an_outage(pbs: Scheduler, hpc: Cluster) -> None:
    words = "Connection refused\n{}: cannot connect to server vm (errno=15010)\n"
    pbs.answer("qselect", err=words.format("qselect"), rc=162)
    with pytest.raises(CommandError, match="cannot connect to server") as raised:
        clustrix_pbs.status([OURS], hpc)
    assert raised.value.transient
    live(pbs, "17.vm")
    pbs.answer("qstat", err=words.format("qstat"), rc=255)
    with pytest.raises(CommandError, match="cannot connect to server"):
        clustrix_pbs.status([OURS], hpc)
    live(pbs)  # the first question is answered, the second is not
    status = clustrix_pbs.status([OURS], hpc)[JOB]
    assert status.state is S.UNKNOWN and "cannot connect to server" in status.reason


def test_a_task_that_failed_of_an_array_that_succeeded(pbs: Scheduler, hpc: Cluster) -> None:
    array = handle(native="17[].vm", tasks=2)
    over = {"job_state": "F", "stime": "x"}
    said = shown("17[].vm", array="True", Exit_status=0, substate=92, **over)
    said += shown("17[0].vm", Exit_status=1, substate=93, **over) + shown("17[1].vm", Exit_status=0, **over)
    pbs.answer("qstat", out=said)
    status = clustrix_pbs.status([array], hpc)[JOB]
    assert (status.state, status.exit_code) == (S.FAILED, 1)
    assert [status.task(index).state for index in (0, 1)] == [S.FAILED, S.SUCCEEDED]


def test_an_id_that_was_used_again_is_another_job(pbs: Scheduler, hpc: Cluster) -> None:
    live(pbs, "17.vm")
    pbs.answer("qstat", out=shown(name="somebody-elses", job_state="R"))
    assert clustrix_pbs.status([OURS], hpc)[JOB].state is S.UNKNOWN


def test_two_hundred_jobs_are_one_exec_and_one_question(pbs: Scheduler, hpc: Cluster) -> None:
    handles = [handle(f"{number:016x}", f"{number}.vm") for number in range(200)]
    live(pbs, *(one.native for one in handles))
    pbs.answer("qstat", out="".join(shown(one.native, one.name, job_state="R") for one in handles))
    found = clustrix_pbs.status(handles, hpc)
    assert {status.state for status in found.values()} == {S.RUNNING} and len(found) == 200
    assert runs(hpc) == 1 and pbs.names == ["qselect", "qstat"]


def test_two_hundred_jobs_that_have_ended_are_one_question_more(pbs: Scheduler, hpc: Cluster) -> None:
    handles = [handle(f"{number:016x}", f"{number}.vm") for number in range(200)]
    ended = {"job_state": "F", "Exit_status": 1, "stime": "x"}
    pbs.answer("qstat", out="".join(shown(one.native, one.name, **ended) for one in handles))
    found = clustrix_pbs.status(handles, hpc)
    assert {status.state for status in found.values()} == {S.FAILED}
    assert runs(hpc) == 2 and pbs.names == ["qselect", "qstat"]


def test_ids_of_arrays_are_no_patterns_for_files(pbs: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    """The shell would put in the names of files that fit."""
    (work_dir / "171.vm").touch()
    array = handle(native="17[].vm", tasks=2)
    live(pbs, "17[].vm", "17[1].vm")
    pbs.answer("qstat", out=shown("17[].vm", job_state="Q"))
    clustrix_pbs.status([array], hpc)
    clustrix_pbs.cancel([array], hpc)
    assert asked(pbs, "qstat")[0][-2:] == ("17[].vm", "17[1].vm") and asked(pbs, "qdel") == [("17[].vm",)]


def test_torque_is_asked_in_its_own_way(pbs: Scheduler, work_dir: Path) -> None:
    """It keeps what is over in its queue for a while, and knows no history."""
    there = schedulers.cluster(work_dir, backend="pbs", options=PBSOptions(dialect="torque"))
    live(pbs, "17.vm")
    pbs.answer("qstat", out=shown(job_state="C", exit_status=-11, start_time="x"))
    assert clustrix_pbs.status([OURS], there)[JOB].state is S.TIMEOUT
    assert asked(pbs, "qstat") == [("-f", "-1", "-t", "17.vm")]
    live(pbs)
    assert clustrix_pbs.status([OURS], there)[JOB].state is S.UNKNOWN
    assert len(asked(pbs, "qstat")) == 1


def test_what_the_users_shell_says_to_qsub_is_not_heard_but_for_the_server(
    pbs: Scheduler, hpc: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBS_DPREFIX", "#EVIL")
    monkeypatch.setenv("PBS_DEFAULT", "other")
    program = pbs.bin / "qsub"
    test = '[ -z "$PBS_DPREFIX" ] && [ "$PBS_DEFAULT" = other ] || exit 1'
    program.write_text(program.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{test}\n"))
    pbs.answer("qsub", out="17.vm\n")
    assert clustrix_pbs.submit(job(), "#!/bin/bash\n", hpc).native == "17.vm"


def test_programs_that_only_login_shells_have_on_path_are_found(
    pbs: Scheduler, hpc: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pbs.conf(7) says where they are."""
    pbs.answer("qsub", out="17.vm\n")
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    with pytest.raises(SubmitRejected, match="is not there"):
        clustrix_pbs.submit(job(), "#!/bin/bash\n", hpc)
    (tmp_path / "pbs.conf").write_text(f"PBS_SERVER=vm\nPBS_EXEC={pbs.bin.parent}\nPBS_START_MOM=0\n")
    assert clustrix_pbs.submit(job(submission=1), "#!/bin/bash\n", hpc).native == "17.vm"
    live(pbs, "17.vm")
    pbs.answer("qstat", out=shown(job_state="R"))
    assert clustrix_pbs.status([OURS], hpc)[JOB].state is S.RUNNING


# -- cancel


def test_jobs_are_cancelled_by_their_ids_and_names(pbs: Scheduler, hpc: Cluster) -> None:
    """Number 18 has been used again, and 19 is another job that only begins with our name."""
    second, third = handle("fedcba9876543210", "18.vm"), handle("fedcba9876543211", "19.vm")
    pbs.answer(
        "qstat",
        out=shown("17.vm", job_state="R") + shown("18.vm", "somebody-elses") + shown("19.vm", f"{third.name}-2"),
        err="qstat: Unknown Job Id 20.vm\n",
        rc=153,
    )
    clustrix_pbs.cancel([OURS, second, third], hpc)
    assert pbs.names == ["qstat", "qdel"] and runs(hpc) == 1
    assert asked(pbs, "qdel") == [("17.vm",)]


def test_an_array_of_which_the_tasks_alone_are_shown_is_cancelled(pbs: Scheduler, hpc: Cluster) -> None:
    array = handle(JOB, "7[].vm", tasks=12)
    tasks = [shown(f"7[{index}].vm", f"{array.name}-{index}", job_state="R") for index in (0, 1, 11)]
    pbs.answer("qstat", out="".join(tasks))
    clustrix_pbs.cancel([array], hpc)
    assert asked(pbs, "qdel") == [("7[].vm",)]


def test_five_hundred_jobs_are_cancelled_at_once(pbs: Scheduler, hpc: Cluster) -> None:
    handles = [handle(f"{number:016x}", f"{number}.vm") for number in range(500)]
    pbs.answer("qstat", out="".join(shown(one.native, one.name, job_state="R") for one in handles))
    clustrix_pbs.cancel(handles, hpc)
    assert pbs.names == ["qstat", "qdel"] and runs(hpc) == 1
    assert sorted(asked(pbs, "qdel")[0]) == sorted(one.native for one in handles)


@pytest.mark.parametrize(
    ("words", "rc"),
    [
        ("qdel: Job has finished 17.vm", 35),
        ("qdel: Unknown Job Id 17.vm", 153),
        ("qdel: Request invalid for state of job 17.vm", 168),
    ],
)
def test_jobs_that_are_over_are_no_error(pbs: Scheduler, hpc: Cluster, words: str, rc: int) -> None:
    clustrix_pbs.cancel([OURS], hpc)
    assert pbs.names == ["qstat"]
    pbs.answer("qstat", out=shown(job_state="R"))
    pbs.answer("qdel", err=f"{words}\n", rc=rc)
    clustrix_pbs.cancel([OURS], hpc)


@pytest.mark.parametrize(
    ("program", "words", "rc"),
    [
        ("qdel", "qdel: Unauthorized Request  17.vm", 159),
        ("qdel", "qdel: cannot connect to server vm (errno=15010)", 162),
        ("qstat", "qstat: cannot connect to server vm (errno=15010)", 255),
    ],
)
def test_a_cancel_that_did_not_happen_is_an_error(
    pbs: Scheduler, hpc: Cluster, program: str, words: str, rc: int
) -> None:
    pbs.answer("qstat", out=shown(job_state="R"))
    pbs.answer(program, err=f"{words}\n", rc=rc)
    with pytest.raises(CommandError, match=words.split(" (")[0]):
        clustrix_pbs.cancel([OURS], hpc)


# -- the first contact and doctor

SERVER = """Server: vm
    server_state = Active
    default_queue = workq
    resources_default.ncpus = 1
    max_array_size = 10000
    pbs_version = 23.06.06
    acl_hosts = a-name-that-is-so-long-that-it-is-folded-in-the-middle-of-a-wor
\td.hpc.example

Queue: workq
    queue_type = Execution
    enabled = True
    started = True

Queue: short
    queue_type = Execution
    resources_max.walltime = 01:00:00
    resources_default.walltime = 00:10:00
    enabled = True
    started = True

Queue: closed
    enabled = False
    started = True

Queue: stopped
    enabled = True
    started = False

"""
NODE = """{name}
     Mom = {name}
     ntype = PBS
     state = {state}
     pcpus = 8
     resources_available.mem = 16777216kb
     resources_available.ncpus = 8
     resources_available.vnode = {name}
     resources_assigned.mem = {mem}kb
     resources_assigned.ncpus = {ncpus}

"""
NODES = (
    NODE.format(name="n1", state="free", mem=4 << 20, ncpus=2)
    + NODE.format(name="n2", state="job-busy", mem=0, ncpus=8)
    + NODE.format(name="n3", state="state-unknown,down", mem=0, ncpus=0)
    + NODE.format(name="n4", state="offline", mem=0, ncpus=0)
)
TORQUE = """n1
     state = free
     np = 8
     ntype = cluster
     jobs = 0/7.vm,1-2/8.vm
     status = opsys=linux,ncpus=8,physmem=8388608kb,availmem=1kb

"""


def contact(pbs: Scheduler, work_dir: Path, said: str = SERVER, nodes: str = NODES, **resources: object) -> Cluster:
    pbs.answer("qstat", out=f"pbs_version = 23.06.06\n{said}")
    pbs.answer("pbsnodes", out=nodes)
    return schedulers.cluster(
        work_dir,
        site=False,
        python=shlex.quote(sys.executable),
        backend="pbs",
        options=PBSOptions(),
        resources=Resources(**resources),  # type: ignore[arg-type]
    )


def site(pbs: Scheduler, work_dir: Path, *words: str, **resources: object) -> Site:
    found = clustrix_pbs.provision(contact(pbs, work_dir, *words, **resources)).site
    assert found is not None
    return found


def test_free_room_limits_and_version_are_seen(pbs: Scheduler, work_dir: Path) -> None:
    seen = site(pbs, work_dir)
    assert seen.nodes == (Node(6, 12 << 30),)
    assert (seen.max_array, seen.default_time, seen.scheduler) == (10000, None, "OpenPBS 23.06.06")
    assert sorted(asked(pbs, "qstat")) == [("--version",), ("-B", "-f"), ("-Q", "-f")]


def test_the_walltime_is_that_of_the_queue_else_of_the_server(pbs: Scheduler, work_dir: Path) -> None:
    assert site(pbs, work_dir, partition="short").default_time == 600
    general = SERVER.replace("    max_array", "    resources_default.walltime = 02:00:00\n    max_array", 1)
    assert site(pbs, work_dir, general).default_time == 7200
    assert site(pbs, work_dir, general, partition="short").default_time == 600


def test_a_torque_is_known_by_its_version(pbs: Scheduler, work_dir: Path) -> None:
    there = contact(pbs, work_dir, nodes=TORQUE)
    said = SERVER.replace("max_array_size", "max_job_array_size").replace("23.06.06", "6.1.2")
    pbs.answer("qstat", out=f"Version: 6.1.2\nCommit: 661e092\n{said}".replace("pbs_version = 6.1.2", "x = y"))
    seen = clustrix_pbs.provision(there).site
    assert seen is not None and (seen.scheduler, seen.max_array) == ("Torque 6.1.2", 10000)
    assert seen.nodes == (Node(5, 5 << 30),)


@pytest.mark.parametrize(
    "said", ["", "sh: qstat: not found\n", "Connection refused\nqstat: cannot connect to server vm"]
)
def test_a_pbs_that_does_not_answer_the_probe_is_no_reason_to_fail(pbs: Scheduler, work_dir: Path, said: str) -> None:
    there = contact(pbs, work_dir, nodes=said)
    pbs.answer("qstat", err=said, rc=1)
    seen = clustrix_pbs.provision(there).site
    assert seen is not None
    assert (seen.nodes, seen.max_array, seen.scheduler) == ((), None, "PBS of unknown version")


def problems(pbs: Scheduler, work_dir: Path, *words: str, **resources: object) -> list[str]:
    found = clustrix_pbs.check(contact(pbs, work_dir, *words, **resources))
    return [f"{problem.severity}: {problem.message} {problem.hint}" for problem in found]


def test_doctor_finds_nothing_where_nothing_is_wrong(pbs: Scheduler, work_dir: Path) -> None:
    assert problems(pbs, work_dir, cores=8, memory="16GB", time="99:00:00") == []
    assert problems(pbs, work_dir, partition="short", time="01:00:00") == []


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"partition": "shrot"}, "error: there is no queue 'shrot' Did you mean 'short'?"),
        ({"partition": "closed"}, "error: the queue 'closed' takes no jobs"),
        ({"partition": "stopped"}, "warning: the queue 'stopped' is stopped"),
        ({"cores": 9}, "error: cores=9, but no node has more than 8"),
        ({"memory": "17GB"}, "error: memory=17408MB, but no node has more than 16384MB"),
        ({"time": "02:00:00", "partition": "short"}, "error: time=02:00:00, but the queue allows 01:00:00"),
    ],
)
def test_doctor_finds_what_could_never_run(
    pbs: Scheduler, work_dir: Path, resources: dict[str, object], said: str
) -> None:
    (found,) = problems(pbs, work_dir, **resources)
    assert said in found


def test_doctor_names_the_queues_where_there_is_no_default(pbs: Scheduler, work_dir: Path) -> None:
    (found,) = problems(pbs, work_dir, SERVER.replace("    default_queue = workq\n", ""))
    assert found == "error: this PBS has no default queue Set partition: to one of closed, short, stopped, workq."


def test_doctor_finds_a_host_that_is_no_login_node(pbs: Scheduler, work_dir: Path) -> None:
    there = contact(pbs, work_dir)
    pbs.answer("qstat", err="sh: 1: qstat: not found\n", rc=127)
    (found,) = clustrix_pbs.check(there)
    assert "qstat shows no queues: sh: 1: qstat: not found" in found.message and "login node" in found.hint


def test_doctor_finds_nodes_that_are_down(pbs: Scheduler, work_dir: Path) -> None:
    (found,) = problems(pbs, work_dir, SERVER, NODE.format(name="n1", state="down", mem=0, ncpus=0))
    assert found.startswith("warning: no node is up")
