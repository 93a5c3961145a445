"""The backend against programs on PATH that answer as Son of Grid Engine 8.1.9 does, through the real transport."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import clustrix_sge
from clustrix_core.errors import CommandError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobState, Node, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.counting import Counting
from clustrix_sge import SgeOptions
from tests.unit import schedulers
from tests.unit.schedulers import JOB, Scheduler, handle, job, on_path, put

S = JobState
PROGRAMS = ("qsub", "qstat", "qacct", "qdel", "qconf")
NAME = job().name
SELECT_ERROR = (
    "error: commlib error: got select error (Connection refused)\n"
    'error: unable to send message to qmaster using port 6444 on host "vm": got send error'
)


@pytest.fixture
def sge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    made = on_path(tmp_path, monkeypatch, PROGRAMS)
    shows(made)
    made.answer("qacct", err="error: job name * not found\n", rc=1)
    return made


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    made.mkdir()
    return made


@pytest.fixture
def grid(work_dir: Path, sge: Scheduler) -> Cluster:
    return schedulers.cluster(work_dir, backend="sge", options=SgeOptions())


def runs(cluster: Cluster) -> int:
    assert isinstance(cluster.transport, Counting)
    return cluster.transport.runs


# As recorded.
LIST = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
{running}  </queue_info>
  <job_info>
{pending}  </job_info>
</job_info>
"""
RUNNING = """    <job_list state="running">
      <JB_job_number>{id}</JB_job_number>
      <JAT_prio>0.25000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>ada</JB_owner>
      <state>{state}</state>
      <JAT_start_time>2026-11-22T07:11:40</JAT_start_time>
      <queue_name>all.q@vm</queue_name>
      <slots>1</slots>
{tasks}    </job_list>
"""
PENDING = """    <job_list state="pending">
      <JB_job_number>{id}</JB_job_number>
      <JAT_prio>0.00000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>ada</JB_owner>
      <state>{state}</state>
      <JB_submission_time>{at}</JB_submission_time>
      <queue_name></queue_name>
      <slots>1</slots>
{tasks}    </job_list>
"""
LONG_AGO, IN_A_WHILE = "2026-11-22T07:11:40", "2999-01-01T00:00:00"
RECORD = """==============================================================
qname        all.q{pad}
hostname     vm{pad}
group        ada{pad}
owner        ada{pad}
project      NONE{pad}
department   defaultdepartment{pad}
jobname      {name}{pad}
jobnumber    {id}{pad}
taskid       {task}
account      sge{pad}
priority     0{pad}
qsub_time    Sun Nov 22 07:15:13 2026
start_time   Sun Nov 22 07:15:13 2026
end_time     Sun Nov 22 07:15:14 2026
granted_pe   NONE{pad}
slots        1{pad}
failed       {failed}
exit_status  {code}
ru_wallclock {wallclock}
ru_maxrss    4.547KB
cpu          0.011s
mem          0.000Bs
maxvmem      {maxvmem}
arid         undefined
ar_sub_time  undefined
category     {category}
"""


def entry(form: str, state: str, name: str = NAME, id: str = "17", tasks: str = "", at: str = IN_A_WHILE) -> str:
    shown = f"      <tasks>{tasks}</tasks>\n" if tasks else ""
    return form.format(id=id, name=name, state=state, tasks=shown, at=at)


def shows(sge: Scheduler, *running: str, pending: str = "", more: str = "") -> None:
    """Let qstat show jobs, and say ``more`` of them to whoever asks by -j: the program answers both alike."""
    sge.answer("qstat", out=LIST.format(running="".join(running), pending=pending) + more)


def record(
    failed: str = "0",
    code: str = "0",
    name: str = NAME,
    id: str = "17",
    task: str = "undefined",
    wallclock: str = "1s",
    maxvmem: str = "1.797MB",
    category: str = "NONE",
) -> str:
    known = {"failed": failed, "code": code, "name": name, "id": id, "task": task, "pad": "   "}
    return RECORD.format(**known, wallclock=wallclock, maxvmem=maxvmem, category=category)


# -- submit


@pytest.mark.parametrize(
    ("said", "native"), [("4\n", "4"), ("5.1-100:1\n", "5"), ("6.1-10:2\n", "6"), ("motd\n12\n\n", "12")]
)
def test_a_job_is_submitted_from_its_directory(
    sge: Scheduler, grid: Cluster, work_dir: Path, said: str, native: str
) -> None:
    sge.answer("qsub", out=said)
    script = clustrix_sge.render_script(job(), grid)
    assert clustrix_sge.submit(job(), script, grid).native == native
    (call,) = sge.calls
    assert (call.argv[-1], call.cwd) == ("job-0.sh", str(work_dir / job().dir))
    assert (work_dir / job().dir / "job-0.sh").read_text() == script and runs(grid) == 1


def test_what_a_sge_request_file_may_say_is_said_otherwise(sge: Scheduler, grid: Cluster) -> None:
    sge.answer("qsub", out="4\n")
    clustrix_sge.submit(job(), "#!/bin/bash\n", grid)
    words = " ".join(sge.calls[0].argv)
    assert all(option in words for option in ("-terse", "-C #$", "-b n")) and "-clear" not in words


@pytest.mark.parametrize(
    "said", ["", "\n", "Your job has been submitted\n", "abc\n", "12 34\n", "12\nbut not really\n"]
)
def test_an_answer_without_an_id_leaves_it_open_whether_there_is_a_job(
    sge: Scheduler, grid: Cluster, said: str
) -> None:
    sge.answer("qsub", out=said)
    with pytest.raises(TransportError, match="there may be one") as raised:
        clustrix_sge.submit(job(), "#!/bin/bash\n", grid)
    assert raised.value.transient


@pytest.mark.parametrize(
    ("rc", "words"),
    [
        (1, 'Unable to run job: Job was rejected because job requests unknown queue "nope.q"\nExiting.'),
        (1, 'Unable to run job: unknown resource "nores"\nExiting.'),
        (1, 'Unable to run job: job rejected: the requested parallel environment "nope" does not exist\nExiting.'),
        (1, 'Unable to run job: job rejected: the requested project "nope" does not exist\nExiting.'),
        (1, 'qsub: "h_rt" is not a time value'),
        (2, "qsub: Unknown option"),
    ],
)
def test_a_refusal_has_the_words_of_qsub(sge: Scheduler, grid: Cluster, rc: int, words: str) -> None:
    sge.answer("qsub", err=words + "\n", rc=rc)
    with pytest.raises(SubmitRejected) as raised:
        clustrix_sge.submit(job(), "#!/bin/bash\n", grid)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        "error: commlib error: got select error (Connection refused)\n"
        'Unable to run job: unable to send message to qmaster using port 6444 on host "vm": got send error\nExiting.',
        "Unable to run job: failed receiving gdi request response for mid=1 (got syncron message receive timeout error",
    ],
)
def test_a_qmaster_that_does_not_answer_may_have_taken_the_job(sge: Scheduler, grid: Cluster, words: str) -> None:
    sge.answer("qsub", err=words + "\n", rc=1)
    with pytest.raises(TransportError, match="may have been accepted") as raised:
        clustrix_sge.submit(job(), "#!/bin/bash\n", grid)
    assert raised.value.transient


def test_settings_come_before_every_program(sge: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    settings = tmp_path / "it's settings.sh"
    settings.write_text("SGE_ROOT=/opt/sge; export SGE_ROOT\n")
    options = SgeOptions(settings=str(settings))
    there = schedulers.cluster(work_dir, backend="sge", options=options)
    for program in PROGRAMS:
        file = sge.bin / program
        file.write_text(file.read_text().replace("#!/bin/sh\n", '#!/bin/sh\n[ "$SGE_ROOT" = /opt/sge ] || exit 127\n'))
    sge.answer("qsub", out="17\n")
    assert clustrix_sge.submit(job(), "#!/bin/bash\n", there).native == "17"
    shows(sge, entry(RUNNING, "r"))
    assert clustrix_sge.status([handle()], there)[JOB].state is S.RUNNING
    clustrix_sge.cancel([handle()], there)
    assert sge.names == ["qsub", "qstat", "qstat", "qdel"]


# -- find


def test_a_job_is_found_again_by_its_name(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, entry(RUNNING, "r", "other", "4710"), pending=entry(PENDING, "qw", id="4711"))
    found = clustrix_sge.find(job(), grid)
    assert found is not None and found.native == "4711"


def test_a_job_that_is_over_is_found_in_accounting(sge: Scheduler, grid: Cluster) -> None:
    sge.answer("qacct", out=record(id="4711") + record(name="other", id="4712"))
    found = clustrix_sge.find(job(), grid)
    assert found is not None and found.native == "4711"


@pytest.mark.parametrize(
    "words",
    [
        "error: job name * not found",
        "/opt/sge/default/common/accounting: No such file or directory",
        "error: can't open accounting file: Permission denied",
    ],
)
def test_a_job_that_never_was_is_not_found(sge: Scheduler, grid: Cluster, words: str) -> None:
    sge.answer("qacct", err=words + "\n", rc=1)
    assert clustrix_sge.find(job(), grid) is None


# -- status: the queue


@pytest.mark.parametrize(
    ("word", "state"),
    [
        *((word, S.PENDING) for word in ("qw", "hqw", "Rq", "hRwq")),
        *((word, S.RUNNING) for word in ("r", "hr", "t", "Rr", "Rt", "dr", "dt", "dRr", "dRt")),
        *((word, S.RUNNING) for word in ("s", "ts", "S", "tS", "T", "tT", "Rs", "Rts", "RS", "RtS", "RT", "RtT")),
        *((word, S.RUNNING) for word in ("ds", "dS", "dT", "dRs", "dRS", "dRT")),
        *((word, S.FAILED) for word in ("Eqw", "Ehqw", "EhRqw")),
        ("xyz", S.UNKNOWN),
    ],
)
def test_every_state_of_the_manual(sge: Scheduler, grid: Cluster, word: str, state: JobState) -> None:
    """sge_status(5), "Job state"."""
    shows(sge, entry(RUNNING, word))
    status = clustrix_sge.status([handle()], grid)[JOB]
    assert (status.state, status.word) == (state, word)
    assert "qacct" not in sge.names and runs(grid) == 1
    assert state is not S.UNKNOWN or "means nothing to Clustrix" in status.reason


def test_an_array(sge: Scheduler, grid: Cluster, work_dir: Path) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n"})
    shows(
        sge,
        entry(RUNNING, "r", tasks="2"),
        entry(RUNNING, "Rr", tasks="3"),
        pending=entry(PENDING, "qw", tasks="4,6") + entry(PENDING, "hqw", tasks="8-100:1"),
    )
    status = clustrix_sge.status([handle(tasks=100)], grid)[JOB]
    assert status.state is S.RUNNING
    assert {index: status.tasks[index].word for index in (1, 2, 3, 5, 7, 99)} == {
        1: "r", 2: "Rr", 3: "qw", 5: "qw", 7: "hqw", 99: "hqw",
    }  # fmt: skip
    assert status.tasks[0].state is S.SUCCEEDED and 4 not in status.tasks


def test_jobs_of_other_names_are_not_ours(sge: Scheduler, grid: Cluster) -> None:
    """Ids are used again, names may end alike or hold what XML cannot, and of other rounds nothing is said here."""
    others = ("somebody-elses", f"{NAME}-r1", f"{NAME}x", f"a%lt;b&gt;{NAME}", "", "<x>", "|" * 9, "évil")
    shows(sge, *(entry(RUNNING, "r", name) for name in others))
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.UNKNOWN
    shows(sge, entry(RUNNING, "r", id="18"))
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.UNKNOWN


def test_a_job_whose_entry_is_damaged_costs_no_other_job(sge: Scheduler, grid: Cluster) -> None:
    damaged = (
        entry(RUNNING, "r", "ho</JB_name><state>\0\x1b[31m")
        + "    <job_list state=\n      <JB_name>\n    </job_list>\n"
    )
    shows(sge, damaged, entry(RUNNING, "r"), damaged)
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.RUNNING


def test_a_follow_up_round_is_told_by_its_name(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, entry(RUNNING, "Rr", id="1"), entry(RUNNING, "r", f"{NAME}-r2", "17", tasks="1-2:1"))
    assert clustrix_sge.status([handle(round=2, tasks=2)], grid)[JOB].word == "r"


def test_two_hundred_jobs_are_one_exec_and_one_qstat(sge: Scheduler, grid: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    shows(sge, *(entry(RUNNING, "r", one.name, one.native) for one in handles))
    found = clustrix_sge.status(handles, grid)
    assert {status.state for status in found.values()} == {S.RUNNING} and len(found) == 200
    assert runs(grid) == 1 and sge.names == ["qstat"]


def test_two_hundred_jobs_that_have_ended_are_one_qacct_more(sge: Scheduler, grid: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    sge.answer("qacct", out="".join(record(code="1", name=one.name, id=one.native) for one in handles))
    found = clustrix_sge.status(handles, grid)
    assert {status.state for status in found.values()} == {S.FAILED}
    assert runs(grid) == 2 and sge.names == ["qstat", "qacct"]


@pytest.mark.parametrize("word", ["hqw", "hRwq"])
def test_a_held_job_says_so(sge: Scheduler, grid: Cluster, word: str) -> None:
    shows(sge, pending=entry(PENDING, word))
    assert clustrix_sge.status([handle()], grid)[JOB].reason == "held, or waiting for the jobs that it comes after"


WAITING = """==============================================================
job_number:                 17
exec_file:                  job_scripts/17
job_name:                   pe-job
parallel environment:  smp range: 64
scheduling info:            cannot run in PE "smp" because it only offers 0 slots
                            queue instance "long.q@vm" dropped because it is full
                            queue instance "more.q@vm" dropped because it is full
binding:                    NONE
"""


def test_a_job_that_waits_for_long_says_why(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, pending=entry(PENDING, "qw", at=LONG_AGO), more=WAITING)
    status = clustrix_sge.status([handle()], grid)[JOB]
    assert status.state is S.PENDING
    assert status.reason == (
        'cannot run in PE "smp" because it only offers 0 slots; queue instance "long.q@vm" dropped because it is full'
    )
    assert [call.argv[1:3] for call in sge.calls] == [("-xml", "-u"), ("-j", "17")] and runs(grid) == 1


def test_a_job_that_has_just_come_is_not_asked_about(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, pending=entry(PENDING, "qw", at=IN_A_WHILE), more=WAITING)
    assert clustrix_sge.status([handle()], grid)[JOB].reason == ""
    assert len(sge.calls) == 1


def test_of_many_jobs_that_wait_ten_are_asked_about(sge: Scheduler, grid: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    shows(sge, pending="".join(entry(PENDING, "qw", one.name, one.native, at=LONG_AGO) for one in handles))
    clustrix_sge.status(handles, grid)
    assert sge.calls[1].argv[1:] == ("-j", ",".join(str(number) for number in range(10)))


@pytest.mark.parametrize("said", ["(Collecting of scheduler job information is turned off)", "Job is in error state"])
def test_a_scheduler_that_does_not_say_why_is_not_quoted(sge: Scheduler, grid: Cluster, said: str) -> None:
    shows(
        sge, pending=entry(PENDING, "qw", at=LONG_AGO), more=f"job_number:   17\nscheduling info:            {said}\n"
    )
    assert clustrix_sge.status([handle()], grid)[JOB].reason == ""


IN_ERROR = """==============================================================
job_number:                 17
job_name:                   bad
job-array tasks:            1-4:1
error reason          2:      11/22/2026 07:11:40 [1007:3728]: error: can't open output file "/x": No such $(id) | file
error reason          4:      11/22/2026 07:11:41 [1007:3729]: exit_status of job start = 100
scheduling info:            Job is in error state
"""


def test_a_job_in_error_has_ended_with_its_reason_and_leaves_the_queue(
    sge: Scheduler, grid: Cluster, work_dir: Path
) -> None:
    there = put(work_dir, handle(), {"job-0.sh": b""})
    shows(sge, entry(RUNNING, "r", tasks="1"), pending=entry(PENDING, "Eqw", tasks="2,4"), more=IN_ERROR)
    status = clustrix_sge.status([handle(tasks=4)], grid)[JOB]
    why = 'error: can\'t open output file "/x": No such $(id) | file'
    assert (status.state, status.tasks[1].state, status.tasks[1].word) == (S.RUNNING, S.FAILED, "Eqw")
    assert status.tasks[1].reason == why and "= 100" in status.tasks[3].reason
    assert [call.argv for call in sge.calls if call.argv[0] == "qdel"] == [("qdel", "17.2", "17.4")]
    assert runs(grid) == 1
    # Accounting keeps less of the reason, and other clients will ask too.
    assert (there / "status-0.1").read_text() == f"FAILED 0 {why}\n" and not (there / "status-0.0").exists()
    sge.answer("qacct", out=record("26  : opening input/output file", task="2"))
    shows(sge)
    assert clustrix_sge.status([handle(tasks=4)], grid)[JOB].tasks[1].reason == why


def test_a_job_of_one_task_in_error(sge: Scheduler, grid: Cluster, work_dir: Path) -> None:
    there = put(work_dir, handle(round=2), {"status-2.0": b"EXIT 100\n"})
    text = "job_number:   17\nerror reason          1:   11/22/2026 07:11:40 [1:2]: exit_status of job start = 100\n"
    shows(sge, pending=entry(PENDING, "Eqw", f"{NAME}-r2"), more=text)
    status = clustrix_sge.status([handle(round=2)], grid)[JOB]
    assert (status.state, status.reason, status.exit_code) == (S.FAILED, "exit_status of job start = 100", 100)
    assert (there / "status-2.0").read_text() == "EXIT 100\n", "what the job itself has said stays"
    assert sge.calls[-1].argv == ("qdel", "17")


def test_jobs_of_others_in_error_are_left_alone(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, pending=entry(PENDING, "Eqw", "somebody-elses") + entry(PENDING, "qw"), more=IN_ERROR)
    clustrix_sge.status([handle()], grid)
    assert "qdel" not in sge.names and len(sge.calls) == 1


# -- status: accounting

LIMIT = "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"
AFTER = "100 : assumedly after job"


@pytest.mark.parametrize(
    ("said", "state", "reason", "code"),
    [
        ({}, S.SUCCEEDED, "", None),
        ({"code": "3"}, S.FAILED, "exit status 3", 3),
        ({"code": "127"}, S.FAILED, "exit status 127", 127),
        ({"failed": AFTER, "code": "137                  (Killed)"}, S.CANCELLED, "killed by signal 9", 137),
        ({"failed": AFTER, "code": "140"}, S.CANCELLED, "killed by signal 12", 140),
        ({"failed": AFTER, "code": "138"}, S.TIMEOUT, "killed by signal 10", 138),
        ({"failed": AFTER, "code": "152"}, S.TIMEOUT, "killed by signal 24", 152),
        ({"failed": AFTER, "code": "139                  (Segmentation fault)"}, S.FAILED, "signal 11", 139),
        ({"failed": AFTER, "code": "0"}, S.NODE_FAIL, "failed 100 : assumedly after job", None),
        (
            {"failed": LIMIT, "code": "137", "wallclock": "7s", "category": "-l h_rt=6,h_vmem=100M"},
            S.TIMEOUT, "failed 37 : qmaster enforced h_rt", 137,
        ),
        (
            {"failed": LIMIT, "code": "137", "maxvmem": "285.562MB", "category": "-l h_rt=100,h_vmem=100M -pe smp 2"},
            S.OUT_OF_MEMORY, "failed 37", 137,
        ),
        ({"failed": LIMIT, "code": "137", "maxvmem": "1.2GB", "category": "-l h_vmem=1G"}, S.OUT_OF_MEMORY, "37", 137),
        (
            {"failed": LIMIT, "code": "137", "maxvmem": "1.2GB", "category": "-l h_rt=1:00:00,h_vmem=1G"},
            S.OUT_OF_MEMORY,
            "37",
            137,
        ),
        ({"failed": LIMIT, "code": "137", "wallclock": "61s", "category": "-l h_rt=0:1:0"}, S.TIMEOUT, "37", 137),
        ({"failed": "\u00b2", "code": "1.2.3", "maxvmem": ".", "task": "\u00b2"}, S.FAILED, "exit status 1", 1),
        ({"failed": LIMIT, "code": "137", "maxvmem": "99MB", "category": "-l h_vmem=100M"}, S.FAILED, "enforced", 137),
        ({"failed": LIMIT, "code": "137", "wallclock": "9999s"}, S.FAILED, "qmaster enforced h_rt", 137),
        (
            {"failed": LIMIT, "code": "137", "maxvmem": "9GB", "category": "-l h_cpu=1,h_vmem=1G"},
            S.FAILED, "enforced", 137,
        ),
        ({"failed": "26  : opening input/output file"}, S.FAILED, "failed 26 : opening input/output file", None),
        ({"failed": "27  : searching requested shell"}, S.FAILED, "failed 27", None),
        ({"failed": "28  : changing to working directory"}, S.FAILED, "failed 28", None),
        ({"failed": "30  : application error returned", "code": "100"}, S.FAILED, "failed 30", 100),
        ({"failed": "1   : assumedly before job"}, S.NODE_FAIL, "failed 1 : assumedly before job", None),
        ({"failed": "8   : in prolog"}, S.NODE_FAIL, "failed 8", None),
        ({"failed": "19  : before writing exit_status"}, S.NODE_FAIL, "failed 19", None),
        ({"failed": "21  : in recognizing job"}, S.NODE_FAIL, "failed 21", None),
    ],
)  # fmt: skip
def test_every_end(
    sge: Scheduler, grid: Cluster, said: dict[str, str], state: JobState, reason: str, code: int | None
) -> None:
    """sge_status(5), "Failed" states."""
    sge.answer("qacct", out=record(**said))
    status = clustrix_sge.status([handle()], grid)[JOB]
    assert (status.state, status.exit_code) == (state, code)
    assert reason in status.reason and (reason or not status.reason)
    assert sge.names == ["qstat", "qacct"]


@pytest.mark.parametrize("failed", ["25  : rescheduling", "24  : migrating"])
def test_a_record_of_a_run_that_was_put_back_is_no_end(sge: Scheduler, grid: Cluster, failed: str) -> None:
    """Its last run may have ended, and that record is up to 15 s late."""
    sge.answer("qacct", out=record(failed))
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.UNKNOWN
    sge.answer("qacct", out=record(failed) + record(name="other") + record())
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.SUCCEEDED


def test_the_last_record_of_a_task_counts(sge: Scheduler, grid: Cluster) -> None:
    tasks = [record("26  : opening input/output file", task="1"), record(code="3", task="2"), record(task="1")]
    sge.answer("qacct", out="".join(tasks))
    status = clustrix_sge.status([handle(tasks=2)], grid)[JOB]
    assert {index: task.state for index, task in status.tasks.items()} == {0: S.SUCCEEDED, 1: S.FAILED}


def test_a_record_of_a_job_that_the_queue_still_shows_does_not_count(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, pending=entry(PENDING, "Rq"))
    sge.answer("qacct", out=record(AFTER, "137"))
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.PENDING
    assert "qacct" not in sge.names


def test_until_the_record_is_written_nothing_is_known(sge: Scheduler, grid: Cluster, work_dir: Path) -> None:
    """Grid Engine writes its accounting file every 15 s."""
    sge.answer("qacct", out=record(task="1"))
    assert clustrix_sge.status([handle(tasks=2)], grid)[JOB].state is S.UNKNOWN
    sge.answer("qacct", err="error: job name * not found\n", rc=1)
    status = clustrix_sge.status([handle()], grid)[JOB]
    assert (status.state, status.reason) == (S.UNKNOWN, "")
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n"})
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.SUCCEEDED


def test_an_id_that_was_used_again_is_another_job(sge: Scheduler, grid: Cluster) -> None:
    shows(sge, entry(RUNNING, "r", "somebody-elses"))
    sge.answer("qacct", out=record(code="1", name="somebody-elses") + record(code="1", id="16"))
    assert clustrix_sge.status([handle()], grid)[JOB].state is S.UNKNOWN


def test_what_others_write_into_their_records_is_not_read_as_ours(sge: Scheduler, grid: Cluster) -> None:
    evil = record(name="x", category=f"-l a=b|c -ac jobname={NAME}") + record(name=f"x|{NAME}") + record(name="")
    sge.answer("qacct", out=evil + record(code="3", category="-l hostname=a|b -q x|y"))
    status = clustrix_sge.status([handle()], grid)[JOB]
    assert (status.state, status.exit_code) == (S.FAILED, 3)


@pytest.mark.parametrize("program", ["qstat", "qacct"])
def test_an_outage_is_not_an_end(sge: Scheduler, grid: Cluster, work_dir: Path, program: str) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 1\n"} if program == "qstat" else {})
    if program == "qstat":
        sge.answer("qstat", err=SELECT_ERROR + "\n", rc=1)
        with pytest.raises(CommandError, match="got select error") as raised:
            clustrix_sge.status([handle()], grid)
        assert raised.value.transient
    else:
        sge.answer("qacct", err="/opt/sge/default/common/accounting: Input/output error\n", rc=1)
        status = clustrix_sge.status([handle()], grid)[JOB]
        assert status.state is S.UNKNOWN and "Input/output error" in status.reason


@pytest.mark.parametrize(
    "said",
    ["", "hello\n", "<job_info>\n  <cluster_queue_summary>\n  </cluster_queue_summary>\n</job_info>\n"],
)
def test_another_list_than_one_of_jobs_is_no_answer(sge: Scheduler, grid: Cluster, said: str) -> None:
    """~/.sge_qstat may hold ``-g c``. To read that as "no jobs" would lose all of them."""
    sge.answer("qstat", out=said)
    for ask in (clustrix_sge.status, clustrix_sge.cancel):
        with pytest.raises(CommandError, match="qstat has not answered with a list of jobs"):
            ask([handle()], grid)


# -- cancel


def test_jobs_are_cancelled_by_their_ids_and_names(sge: Scheduler, grid: Cluster) -> None:
    """Number 18 has been used again, and 19 is another job whose name is longer than ours."""
    second, third = handle("fedcba9876543210", "18"), handle("fedcba9876543211", "19")
    others = [entry(RUNNING, "r", "somebody-elses", "18"), entry(RUNNING, "r", f"{third.name}-2", "19")]
    shows(sge, entry(RUNNING, "r", tasks="1"), *others, pending=entry(PENDING, "qw", tasks="2-9:1"))
    sge.answer("qdel", out="ada has registered the job 17 for deletion\n")
    clustrix_sge.cancel([handle(), second, third], grid)
    assert sge.names == ["qstat", "qdel"] and runs(grid) == 1
    assert sge.calls[1].argv == ("qdel", "17")


def test_five_hundred_jobs_are_cancelled_at_once(sge: Scheduler, grid: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(500)]
    shows(sge, *(entry(RUNNING, "r", one.name, one.native) for one in handles))
    clustrix_sge.cancel(handles, grid)
    assert sge.names == ["qstat", "qdel"] and runs(grid) == 1
    assert sorted(sge.calls[1].argv[1:]) == sorted(one.native for one in handles)


def test_jobs_that_are_over_are_no_error(sge: Scheduler, grid: Cluster) -> None:
    clustrix_sge.cancel([handle()], grid)
    assert sge.names == ["qstat"]
    shows(sge, entry(RUNNING, "r"))
    for words in ('denied: job "17" does not exist', "job 17 is already in deletion"):
        sge.answer("qdel", out=f"ada has registered the job 18 for deletion\n{words}\n", rc=1)
        clustrix_sge.cancel([handle()], grid)


@pytest.mark.parametrize(
    ("program", "words"),
    [("qdel", 'ada - you do not have the necessary privileges to delete the job "17"'), ("qstat", SELECT_ERROR)],
)
def test_a_cancel_that_did_not_happen_is_an_error(sge: Scheduler, grid: Cluster, program: str, words: str) -> None:
    shows(sge, entry(RUNNING, "r"))
    sge.answer(program, err=f"{words}\n", rc=1)
    with pytest.raises(CommandError, match=words.split()[0]):
        clustrix_sge.cancel([handle()], grid)


# -- the first contact and doctor

ROOM = """  <queue_info>
    <Queue-List>
      <name>all.q@n1</name>
      <qtype>BIP</qtype>
      <slots_used>2</slots_used>
      <slots_resv>1</slots_resv>
      <slots_total>8</slots_total>
      <arch>lx-amd64</arch>
      <resource name="h_vmem" type="hc">6.500G</resource>
      <job_list state="running">
        <JB_job_number>1</JB_job_number>
        <JB_name>x</JB_name>
        <state>r</state>
        <slots>2</slots>
      </job_list>
    </Queue-List>
    <Queue-List>
      <name>all.q@n2</name>
      <slots_used>0</slots_used>
      <slots_resv>0</slots_resv>
      <slots_total>8</slots_total>
      <state>au</state>
    </Queue-List>
    <Queue-List>
      <name>all.q@n3</name>
      <slots_used>0</slots_used>
      <slots_resv>0</slots_resv>
      <slots_total>4</slots_total>
    </Queue-List>
    <Queue-List>
      <name>all.q@n4</name>
      <slots_used>4</slots_used>
      <slots_resv>0</slots_resv>
      <slots_total>4</slots_total>
    </Queue-List>
  </queue_info>
"""
COMPLEX = "h_vmem              h_vmem     MEMORY    <=    YES         {memory}         2G       0\n"
GPU = "gpu                 gpu        INT       <=    YES         {gpu}         0        0\n"


def contact(
    sge: Scheduler, work_dir: Path, facts: str, options: SgeOptions | None = None, room: str = ROOM, **resources: object
) -> Cluster:
    sge.answer("qstat", out=room)
    sge.answer("qconf", out=facts)
    return schedulers.cluster(
        work_dir,
        site=False,
        python=shlex.quote(sys.executable),
        backend="sge",
        options=options or SgeOptions(),
        resources=Resources(**resources),  # type: ignore[arg-type]
    )


def facts(memory: str = "YES", gpu: str = "JOB", largest: str = "75000", names: str = "all.q\nsmp\n") -> str:
    """What qconf says, to all questions at once."""
    return f"max_aj_tasks                 {largest}\n{names}{COMPLEX.format(memory=memory)}{GPU.format(gpu=gpu)}"


def site(sge: Scheduler, work_dir: Path, said: str, **resources: object) -> Site:
    found = clustrix_sge.provision(contact(sge, work_dir, said, **resources)).site  # type: ignore[arg-type]
    assert found is not None
    return found


def test_free_room_limits_and_version_are_seen(sge: Scheduler, work_dir: Path) -> None:
    seen = site(sge, work_dir, facts(), room=f"SGE 8.1.9\n{ROOM}")
    assert seen.nodes == (Node(5, 13 * 2**29), Node(4, None))
    assert (seen.max_array, seen.scheduler) == (75000, "Grid Engine, SGE 8.1.9")
    asked = next(call.argv for call in sge.calls if "-f" in call.argv)
    assert asked == ("qstat", "-f", "-xml", "-F", "h_vmem", "-U", "ada") or "-U" in asked


def test_room_is_that_of_the_queue_and_environment_asked_for(sge: Scheduler, work_dir: Path) -> None:
    site(sge, work_dir, facts(), partition="long.q,short.q", cores=4)
    asked = next(call.argv for call in sge.calls if "-f" in call.argv)
    assert asked[asked.index("-q") + 1] == "long.q,short.q" and asked[asked.index("-pe") + 1] == "smp"


@pytest.mark.parametrize(("said", "largest"), [("0", None), ("1000", 1000), ("many", None), ("", None)])
def test_the_largest_array(sge: Scheduler, work_dir: Path, said: str, largest: int | None) -> None:
    assert site(sge, work_dir, facts(largest=said)).max_array == largest


@pytest.mark.parametrize("said", ["", SELECT_ERROR + "\n", "<Queue-List>\n</Queue-List>\n"])
def test_a_grid_engine_that_does_not_answer_the_probe_is_no_reason_to_fail(
    sge: Scheduler, work_dir: Path, said: str
) -> None:
    seen = site(sge, work_dir, "", room=said)
    assert (seen.nodes, seen.max_array) == ((), None)


def problems(sge: Scheduler, work_dir: Path, *words: str, **more: object) -> list[str]:
    known = {"room": f"SGE 8.1.9\n{ROOM}", **more}
    found = clustrix_sge.check(contact(sge, work_dir, words[0] if words else facts(), **known))  # type: ignore[arg-type]
    return [f"{problem.severity}: {problem.message} {problem.hint}" for problem in found]


def test_doctor_finds_nothing_where_nothing_is_wrong(sge: Scheduler, work_dir: Path) -> None:
    assert problems(sge, work_dir, cores=8, memory="4GB", time="01:00:00", partition="all.q@@fast", gpus=1) == []
    verified, asked = (call.argv for call in sge.calls if call.argv[0] == "qsub")
    words = " ".join(verified)
    assert "-w v" in words and "-pe smp 8" in words and "-l h_vmem=512M" in words and "-l h_rt=3600" in words
    assert asked[-3:] == ("test", "-O", str(work_dir)) and "-pe" not in asked and "-now" in asked


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"partition": "al.q"}, "error: there is no queue 'al.q'"),
        ({"partition": "all.q,al.q"}, "error: there is no queue 'al.q'"),
        ({"options": SgeOptions(parallel_environment="mp")}, "warning: there is no parallel environment 'mp'"),
        ({"options": SgeOptions(parallel_environment="mp"), "cores": 2}, "error: there is no parallel environment"),
    ],
)
def test_doctor_names_what_is_not_there(
    sge: Scheduler, work_dir: Path, resources: dict[str, object], said: str
) -> None:
    (found,) = problems(sge, work_dir, **resources)
    assert said in found and "Did you mean" in found


def test_doctor_finds_what_could_never_run(sge: Scheduler, work_dir: Path) -> None:
    sge.answer(
        "qsub",
        err='Unable to run job: Job 31 cannot run in PE "smp" because it only offers 0 slots\n'
        "verification: no suitable queues\nExiting.\n",
        rc=1,
    )
    (found,) = problems(sge, work_dir, cores=64)
    assert 'can run: cannot run in PE "smp" because it only offers 0 slots Grid Engine would' in found


@pytest.mark.parametrize(
    ("known", "more", "said"),
    [
        ({"memory": "NO"}, {"memory": "1GB"}, "warning: h_vmem limits the memory of a job, but is not counted"),
        ({"memory": "JOB"}, {}, "warning: h_vmem is counted for each job here Set options: {memory_per_slot: false}"),
        (
            {},
            {"options": SgeOptions(memory_per_slot=False)},
            "is counted for each slot here Set options: {memory_per_s",
        ),
        ({"gpu": "YES"}, {"gpus": 1, "cores": 2}, "warning: gpu is counted for each slot here"),
    ],
)
def test_doctor_knows_how_resources_are_counted(
    sge: Scheduler, work_dir: Path, known: dict[str, str], more: dict[str, object], said: str
) -> None:
    (found,) = problems(sge, work_dir, facts(**known), **more)
    assert said in found


def test_doctor_finds_what_keeps_qsub_from_coming_back(sge: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "home/.sge_request").write_text("-m e\n-P physics -sync  yes\n")
    assert problems(sge, work_dir)[0].startswith("error: ~/.sge_request holds -sync y")
    (tmp_path / "home/.sge_request").write_text("-m e\n-sync n\n")
    assert problems(sge, work_dir) == []


def test_doctor_finds_a_host_that_is_no_login_node(sge: Scheduler, work_dir: Path) -> None:
    for program in PROGRAMS:
        sge.remove(program)
    (found,) = problems_of(sge, work_dir)
    assert "there is no qstat" in found and "settings.sh" in found


def problems_of(sge: Scheduler, work_dir: Path) -> list[str]:
    there = schedulers.cluster(
        work_dir, site=False, python=shlex.quote(sys.executable), backend="sge", options=SgeOptions()
    )
    return [f"{problem.message} {problem.hint}" for problem in clustrix_sge.check(there)]


def test_doctor_asks_a_compute_node_for_the_work_dir(sge: Scheduler, work_dir: Path) -> None:
    """The program says the same to both questions: the first is content with its exit code."""
    sge.answer("qsub", out="Job 42 exited with exit code 1.\n42\n")
    (found,) = problems(sge, work_dir)
    assert "is not there on a compute node" in found


def test_a_question_to_a_compute_node_that_comes_to_nothing_is_taken_back(sge: Scheduler, work_dir: Path) -> None:
    file = sge.bin / "qsub"
    busy = "case $* in *-sync*) echo 'Your qsub request could not be scheduled; try again later.' >&2; exit {};; esac\n"
    plain = file.read_text()
    file.write_text(plain.replace("#!/bin/sh\n", "#!/bin/sh\n" + busy.format(1)))
    (found,) = problems(sge, work_dir)
    assert found.startswith("warning: no compute node could be asked") and "could not be scheduled" in found
    assert "qdel" not in sge.names
    file.write_text(plain.replace("#!/bin/sh\n", "#!/bin/sh\n" + busy.format(124)))
    (found,) = problems(sge, work_dir)
    assert sge.calls[-1].argv == ("qdel", "doctor-0000000000000000")
