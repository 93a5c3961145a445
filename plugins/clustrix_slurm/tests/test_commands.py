"""The backend against programs on PATH that answer as Slurm 22.05.8 does, through the real transport."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import clustrix_slurm
from clustrix_core.errors import CommandError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobState, Node, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.counting import Counting
from clustrix_slurm import SlurmOptions
from tests.unit import schedulers
from tests.unit.schedulers import JOB, Scheduler, handle, job, on_path, put

S = JobState
PROGRAMS = ("sbatch", "squeue", "sacct", "scancel", "sinfo", "scontrol", "srun")
NAME = job().name


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    return on_path(tmp_path, monkeypatch, PROGRAMS)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    made.mkdir()
    return made


@pytest.fixture
def hpc(work_dir: Path, slurm: Scheduler) -> Cluster:
    return schedulers.cluster(work_dir, backend="slurm", options=SlurmOptions())


def runs(cluster: Cluster) -> int:
    assert isinstance(cluster.transport, Counting)
    return cluster.transport.runs


# -- submit


def test_a_job_is_submitted_from_its_directory(slurm: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    slurm.answer("sbatch", out="4711\n")
    script = clustrix_slurm.render_script(job(), hpc)
    assert clustrix_slurm.submit(job(), script, hpc).native == "4711"
    (call,) = slurm.calls
    assert (call.argv, call.cwd) == (("sbatch", "--parsable", "job-0.sh"), str(work_dir / job().dir))
    assert (work_dir / job().dir / "job-0.sh").read_text() == script and runs(hpc) == 1


@pytest.mark.parametrize(
    ("rc", "words"),
    [
        (1, "sbatch: error: Batch job submission failed: Invalid partition name specified"),
        (1, "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed"),
        (1, "sbatch: error: Batch job submission failed: Invalid job array specification"),
        (255, "sbatch: unrecognized option '--nonsense'\nTry \"sbatch --help\" for more information"),
    ],
)
def test_a_refusal_has_the_words_of_sbatch(slurm: Scheduler, hpc: Cluster, rc: int, words: str) -> None:
    slurm.answer("sbatch", err=words + "\n", rc=rc)
    with pytest.raises(SubmitRejected) as raised:
        clustrix_slurm.submit(job(), "#!/bin/bash\n", hpc)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    ],
)
def test_a_controller_that_does_not_answer_may_have_taken_the_job(slurm: Scheduler, hpc: Cluster, words: str) -> None:
    slurm.answer("sbatch", err=words + "\n", rc=1)
    with pytest.raises(TransportError, match="may have been accepted") as raised:
        clustrix_slurm.submit(job(), "#!/bin/bash\n", hpc)
    assert raised.value.transient


def test_a_job_is_found_again_by_its_name(slurm: Scheduler, hpc: Cluster) -> None:
    slurm.answer("squeue", out=f"4710|N/A|RUNNING|None|other\n4711|N/A|PENDING|Priority|{NAME}\n")
    found = clustrix_slurm.find(job(), hpc)
    assert found is not None and found.native == "4711"


def test_a_job_that_was_cancelled_while_pending_is_found_in_accounting(slurm: Scheduler, hpc: Cluster) -> None:
    slurm.answer("sacct", out=f"4711|CANCELLED by 1001|0:0|{NAME}\n")
    found = clustrix_slurm.find(job(), hpc)
    assert found is not None and found.native == "4711"


def test_a_job_that_never_was_is_not_found_with_or_without_accounting(slurm: Scheduler, hpc: Cluster) -> None:
    assert clustrix_slurm.find(job(), hpc) is None
    for rc, words in (
        (1, "Slurm accounting storage is disabled"),
        (127, "sh: 1: sacct: not found"),
        (127, "bash: line 1: sacct: command not found"),
        (127, "zsh:1: command not found: sacct"),
        (1, "sacct: Command not found."),
    ):
        slurm.answer("sacct", err=words + "\n", rc=rc)
        assert clustrix_slurm.find(job(), hpc) is None


# -- status


@pytest.mark.parametrize("accounting", [True, False])
@pytest.mark.parametrize("word", ["RUNNING", "PENDING", "COMPLETING", "COMPLETED", "CANCELLED", "NODE_FAIL"])
def test_what_the_queue_knows_accounting_is_not_asked(
    slurm: Scheduler, hpc: Cluster, word: str, accounting: bool
) -> None:
    slurm.answer("squeue", out=f"17|N/A|{word}|None|{NAME}\n")
    if not accounting:
        slurm.answer("sacct", err="Slurm accounting storage is disabled\n", rc=1)
    status = clustrix_slurm.status([handle()], hpc)[JOB]
    assert status.state is clustrix_slurm.answers.STATES[word] and status.word == word
    assert slurm.names == ["squeue"] and runs(hpc) == 1


def test_the_exit_code_of_a_job_that_has_failed_is_asked_for_in_the_same_exec(slurm: Scheduler, hpc: Cluster) -> None:
    """Another format has it. The program answers both questions alike here; each reader takes what it knows."""
    padded = f"{'17':24}{'N/A':80}{'768':12}{NAME:64}"
    slurm.answer("squeue", out=f"17|N/A|FAILED|NonZeroExitCode|{NAME}\n{padded}\n")
    status = clustrix_slurm.status([handle()], hpc)[JOB]
    assert (status.state, status.reason, status.exit_code) == (S.FAILED, "NonZeroExitCode", 3)
    assert slurm.names == ["squeue", "squeue"] and runs(hpc) == 1


@pytest.mark.parametrize(
    ("line", "state", "reason", "code"),
    [
        ("17|COMPLETED|0:0|{}", S.SUCCEEDED, "", 0),
        ("17|FAILED|3:0|{}", S.FAILED, "", 3),
        ("17|FAILED|0:9|{}", S.FAILED, "", 137),
        ("17|OUT_OF_MEMORY|0:125|{}", S.OUT_OF_MEMORY, "", None),
        ("17|TIMEOUT|0:0|{}", S.TIMEOUT, "", 0),
        ("17|CANCELLED by 1001|0:0|{}", S.CANCELLED, "by 1001", 0),
        ("17|NODE_FAIL|1:0|{}", S.NODE_FAIL, "", 1),
        ("17|PREEMPTED|0:0|{}", S.PREEMPTED, "", 0),
        ("17|DEADLINE|1:0|{}", S.TIMEOUT, "", 1),
        ("17|REQUEUED|0:0|{}", S.PENDING, "", 0),
        ("17|ABDUCTED|0:0|{}", S.UNKNOWN, "slurm says ABDUCTED, which means nothing to Clustrix", 0),
    ],
)
def test_ends_that_only_accounting_knows(
    slurm: Scheduler, hpc: Cluster, line: str, state: JobState, reason: str, code: int | None
) -> None:
    slurm.answer("sacct", out=line.format(NAME) + "\n")
    status = clustrix_slurm.status([handle()], hpc)[JOB]
    assert (status.state, status.word, status.exit_code) == (state, line.split("|")[1].split()[0], code)
    assert status.reason == reason
    assert slurm.names == ["squeue", "sacct"]


def test_a_job_that_ran_out_of_memory_and_exited_cleanly_has_its_value(
    slurm: Scheduler, hpc: Cluster, work_dir: Path
) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n"})
    slurm.answer("sacct", out=f"17|OUT_OF_MEMORY|0:125|{NAME}\n")
    assert clustrix_slurm.status([handle()], hpc)[JOB].state is S.SUCCEEDED


def test_without_accounting_the_marker_tells(slurm: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    slurm.answer("sacct", err="Slurm accounting storage is disabled\n", rc=1)
    assert clustrix_slurm.status([handle()], hpc)[JOB].state is S.UNKNOWN
    put(work_dir, handle(), {"status-0.0": b"EXIT 3\n"})
    status = clustrix_slurm.status([handle()], hpc)[JOB]
    assert (status.state, status.exit_code) == (S.FAILED, 3)


def test_the_id_of_a_job_that_squeue_has_forgotten_is_no_outage(slurm: Scheduler, hpc: Cluster) -> None:
    """squeue is asked for the user, never for ids: with an id it would fail with `Invalid job id specified`."""
    clustrix_slurm.status([handle()], hpc)
    assert NAME not in str(slurm.calls[0].argv) and "17" not in slurm.calls[0].argv


def test_hidden_partitions_are_seen(slurm: Scheduler, hpc: Cluster) -> None:
    """Without -a neither squeue nor sinfo say a word of them."""
    slurm.answer("squeue", out=f"17|N/A|FAILED|None|{NAME}\n")
    clustrix_slurm.status([handle()], hpc)
    clustrix_slurm.cancel([handle()], hpc)
    assert slurm.names == ["squeue"] * 3 and all("-a" in call.argv for call in slurm.calls)
    clustrix_slurm.provision(hpc)
    assert "-a" in next(call.argv for call in slurm.calls if call.argv[0] == "sinfo")


@pytest.mark.parametrize("program", ["squeue", "sacct"])
def test_an_outage_is_not_an_end(slurm: Scheduler, hpc: Cluster, work_dir: Path, program: str) -> None:
    words = {
        "squeue": "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sacct": "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection",
    }[program]
    put(work_dir, handle(), {"status-0.0": b"EXIT 1\n"} if program == "squeue" else {})
    slurm.answer(program, err=words + "\n", rc=1)
    if program == "squeue":
        with pytest.raises(CommandError, match="Unable to contact") as raised:
            clustrix_slurm.status([handle()], hpc)
        assert raised.value.transient
    else:
        status = clustrix_slurm.status([handle()], hpc)[JOB]
        assert status.state is S.UNKNOWN and "persistent connection" in status.reason


def test_an_array_as_squeue_shows_it(slurm: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 0\n"})
    slurm.answer(
        "squeue",
        out=f"17|16-99%10|PENDING|JobArrayTaskLimit|{NAME}\n17|15|RUNNING|None|{NAME}\n"
        f"17|3|FAILED|NonZeroExitCode|{NAME}\n",
    )
    status = clustrix_slurm.status([handle(tasks=100)], hpc)[JOB]
    assert status.state is S.RUNNING
    assert [status.task(index).state for index in (0, 3, 15, 16, 99)] == [
        S.SUCCEEDED, S.FAILED, S.RUNNING, S.PENDING, S.PENDING,
    ]  # fmt: skip


def test_an_array_that_was_cancelled_while_most_of_it_was_pending_is_over(slurm: Scheduler, hpc: Cluster) -> None:
    lines = [f"17_{index}|CANCELLED by 1001|0:0|{NAME}\n" for index in range(10)]
    slurm.answer("sacct", out="".join(lines) + f"17_[10-99%10]|CANCELLED by 1001|0:0|{NAME}\n")
    status = clustrix_slurm.status([handle(tasks=100)], hpc)[JOB]
    assert (status.state, len(status.tasks)) == (S.CANCELLED, 100)


def test_an_array_that_was_cancelled_before_any_task_began_is_over(slurm: Scheduler, hpc: Cluster) -> None:
    slurm.answer("sacct", out=f"17|CANCELLED by 1001|0:0|{NAME}\n")
    assert clustrix_slurm.status([handle(tasks=100)], hpc)[JOB].state is S.CANCELLED


def test_rows_that_are_late_leave_it_open(slurm: Scheduler, hpc: Cluster) -> None:
    """Accounting learns of the tasks of an array up to several seconds late."""
    slurm.answer("sacct", out=f"17_0|COMPLETED|0:0|{NAME}\n")
    assert clustrix_slurm.status([handle(tasks=3)], hpc)[JOB].state is S.UNKNOWN


def test_a_requeued_job_is_pending_again_whatever_its_first_run_left(
    slurm: Scheduler, hpc: Cluster, work_dir: Path
) -> None:
    put(work_dir, handle(), {"status-0.0": b"EXIT 143\n"})
    slurm.answer("squeue", out=f"17|N/A|PENDING|BeginTime|{NAME}\n")
    status = clustrix_slurm.status([handle()], hpc)[JOB]
    assert status.state is S.PENDING and "begin again (BeginTime)" in status.reason


def test_an_id_that_was_used_again_is_another_job(slurm: Scheduler, hpc: Cluster) -> None:
    slurm.answer("squeue", out="17|N/A|FAILED|NonZeroExitCode|somebody-elses\n")
    slurm.answer("sacct", out="17|FAILED|1:0|somebody-elses\n")
    assert clustrix_slurm.status([handle()], hpc)[JOB].state is S.UNKNOWN


def test_two_hundred_jobs_are_one_exec_and_one_squeue(slurm: Scheduler, hpc: Cluster, work_dir: Path) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    slurm.answer("squeue", out="".join(f"{one.native}|N/A|RUNNING|None|{one.name}\n" for one in handles))
    found = clustrix_slurm.status(handles, hpc)
    assert {status.state for status in found.values()} == {S.RUNNING} and len(found) == 200
    assert runs(hpc) == 1 and slurm.names == ["squeue"]


def test_two_hundred_jobs_that_have_ended_are_one_sacct_more(slurm: Scheduler, hpc: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(200)]
    slurm.answer("sacct", out="".join(f"{one.native}|FAILED|1:0|{one.name}\n" for one in handles))
    found = clustrix_slurm.status(handles, hpc)
    assert {status.state for status in found.values()} == {S.FAILED}
    assert runs(hpc) == 2 and slurm.names == ["squeue", "sacct"]


@pytest.mark.parametrize("name", ["SBATCH_JOB_NAME", "SBATCH_WAIT", "SQUEUE_PARTITION", "SCANCEL_STATE"])
def test_what_the_users_shell_says_to_slurms_programs_is_not_heard(
    slurm: Scheduler, hpc: Cluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "evil")
    for program in ("sbatch", "squeue", "scancel"):
        file = slurm.bin / program
        file.write_text(file.read_text().replace("#!/bin/sh\n", f'#!/bin/sh\n[ -z "${name}" ] || exit 1\n'))
    slurm.answer("sbatch", out="17\n")
    slurm.answer("squeue", out=f"17|{NAME}\n")
    assert clustrix_slurm.submit(job(), "#!/bin/bash\n", hpc).native == "17"
    clustrix_slurm.status([handle()], hpc)
    clustrix_slurm.cancel([handle()], hpc)
    assert "scancel" in slurm.names


# -- cancel


def test_jobs_are_cancelled_by_their_ids_and_names(slurm: Scheduler, hpc: Cluster) -> None:
    """Number 18 has been used again, and 19 is another job that only begins with our name."""
    second, third = handle("fedcba9876543210", "18"), handle("fedcba9876543211", "19")
    slurm.answer("squeue", out=f"17|{NAME}\n17|{NAME}\n18|somebody-elses\n19|{third.name}-2\n20|{NAME}\n")
    clustrix_slurm.cancel([handle(), second, third], hpc)
    assert slurm.names == ["squeue", "scancel"] and runs(hpc) == 1
    assert slurm.calls[1].argv == ("scancel", "17")


def test_five_hundred_jobs_are_cancelled_at_once(slurm: Scheduler, hpc: Cluster) -> None:
    handles = [handle(f"{number:016x}", str(number)) for number in range(500)]
    slurm.answer("squeue", out="".join(f"{one.native}|{one.name}\n" for one in handles))
    clustrix_slurm.cancel(handles, hpc)
    assert slurm.names == ["squeue", "scancel"] and runs(hpc) == 1
    assert sorted(slurm.calls[1].argv[1:]) == sorted(one.native for one in handles)


def test_jobs_that_are_over_are_no_error(slurm: Scheduler, hpc: Cluster) -> None:
    clustrix_slurm.cancel([handle()], hpc)
    assert slurm.names == ["squeue"]
    slurm.answer("squeue", out=f"17|{NAME}\n")
    for words in ("Invalid job id specified", "Job/step already completing or completed"):
        slurm.answer("scancel", err=f"scancel: error: Kill job error on job id 17: {words}\n", rc=1)
        clustrix_slurm.cancel([handle()], hpc)


@pytest.mark.parametrize(
    ("program", "words"),
    [("scancel", "Access/permission denied"), ("squeue", "Unable to contact slurm controller")],
)
def test_a_cancel_that_did_not_happen_is_an_error(slurm: Scheduler, hpc: Cluster, program: str, words: str) -> None:
    slurm.answer("squeue", out=f"17|{NAME}\n")
    slurm.answer(program, err=f"{program}: error: {words}\n", rc=1)
    with pytest.raises(CommandError, match=words):
        clustrix_slurm.cancel([handle()], hpc)


# -- the first contact and doctor

SINFO = """node|debug*|2/6/0/8|4096|mixed|1:00:00|10:00
node|short|2/6/0/8|4096|mixed|1:00|1:00
node|debug*|8/0/0/8|4096|allocated|1:00:00|10:00
node|short|8/0/0/8|4096|allocated|1:00|1:00
node|debug*|0/0/8/8|4096|down*|1:00:00|10:00
node|debug*|0/8/0/8|4096|idle*|1:00:00|10:00
node|big|0/64/0/64|1048576+|idle~|infinite|n/a
"""
CONFIG = """Configuration data as of 2026-11-22T01:00:00
MaxArraySize            = 10001
MaxJobCount             = 10000
SLURM_VERSION           = 22.05.8
"""


def contact(slurm: Scheduler, work_dir: Path, sinfo: str = SINFO, config: str = CONFIG, **resources: object) -> Cluster:
    slurm.answer("sinfo", out=sinfo)
    slurm.answer("scontrol", out=config)
    return schedulers.cluster(
        work_dir,
        site=False,
        python=shlex.quote(sys.executable),
        backend="slurm",
        options=SlurmOptions(),
        resources=Resources(**resources),  # type: ignore[arg-type]
    )


def site(slurm: Scheduler, work_dir: Path, *words: str, **resources: object) -> Site:
    found = clustrix_slurm.provision(contact(slurm, work_dir, *words, **resources)).site
    assert found is not None
    return found


def test_free_room_limits_and_version_are_seen(slurm: Scheduler, work_dir: Path) -> None:
    seen = site(slurm, work_dir)
    assert seen.nodes == (Node(6, 3 * 2**30),)
    assert (seen.max_array, seen.default_time, seen.scheduler) == (10001, 600, "Slurm 22.05.8")


def test_the_room_is_that_of_the_partitions_asked_for(slurm: Scheduler, work_dir: Path) -> None:
    assert site(slurm, work_dir, partition="big").nodes == (Node(64, 2**40),)
    assert site(slurm, work_dir, partition="big").default_time is None
    assert site(slurm, work_dir, partition="short,big").nodes == (Node(6, 3 * 2**30), Node(64, 2**40))
    assert site(slurm, work_dir, partition="nosuch").nodes == ()


@pytest.mark.parametrize(("said", "largest"), [("0", 1), ("1", 1), ("1001", 1001), ("(null)", None)])
def test_the_largest_array(slurm: Scheduler, work_dir: Path, said: str, largest: int | None) -> None:
    assert site(slurm, work_dir, SINFO, f"MaxArraySize            = {said}\n").max_array == largest


@pytest.mark.parametrize("sinfo", ["", "slurm_load_partitions: Unable to contact slurm controller\n", "node|x\n"])
def test_a_slurm_that_does_not_answer_the_probe_is_no_reason_to_fail(
    slurm: Scheduler, work_dir: Path, sinfo: str
) -> None:
    seen = site(slurm, work_dir, sinfo, "")
    assert (seen.nodes, seen.max_array, seen.scheduler) == ((), None, "Slurm of unknown version")


def problems(slurm: Scheduler, work_dir: Path, *words: str, **resources: object) -> list[str]:
    found = clustrix_slurm.check(contact(slurm, work_dir, *words, **resources))
    return [f"{problem.severity}: {problem.message} {problem.hint}" for problem in found]


def test_doctor_finds_nothing_where_nothing_is_wrong(slurm: Scheduler, work_dir: Path) -> None:
    assert problems(slurm, work_dir, cores=8, memory="4GB", time="01:00:00") == []
    assert problems(slurm, work_dir, partition="short,big", cores=64) == []


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"partition": "shrot"}, "error: there is no partition 'shrot' Did you mean 'short'?"),
        ({"partition": "big,shrot"}, "error: there is no partition 'shrot'"),
        ({"cores": 9}, "error: cores=9, but no node has more than 8"),
        ({"memory": "8GB"}, "error: memory=8192MB, but no node has more than 4096MB"),
        ({"nodes": 9}, "error: nodes=9, but the partition has 4"),
        ({"time": "02:00:00"}, "error: time=02:00:00, but the partition allows 01:00:00"),
    ],
)
def test_doctor_finds_what_could_never_run(
    slurm: Scheduler, work_dir: Path, resources: dict[str, object], said: str
) -> None:
    (found,) = problems(slurm, work_dir, **resources)
    assert said in found


def test_doctor_names_the_partitions_where_there_is_no_default(slurm: Scheduler, work_dir: Path) -> None:
    (found,) = problems(slurm, work_dir, SINFO.replace("*|", "|"))
    assert found == "error: this Slurm has no default partition Set partition: to one of big, debug, short."


def test_doctor_finds_a_host_that_is_no_login_node(slurm: Scheduler, work_dir: Path) -> None:
    (found,) = problems(slurm, work_dir, "sinfo: command not found\n")
    assert "sinfo shows no nodes" in found and "login node" in found


def test_doctor_finds_nodes_that_are_down(slurm: Scheduler, work_dir: Path) -> None:
    (found,) = problems(slurm, work_dir, "node|debug*|0/0/8/8|4096|down*|1:00:00|10:00\n")
    assert found.startswith("warning: no node of the partition is up")


def test_doctor_asks_a_compute_node_for_the_work_dir(slurm: Scheduler, work_dir: Path) -> None:
    slurm.answer("srun", out="clustrix: not here\n")
    (found,) = problems(slurm, work_dir)
    assert "is not there on a compute node" in found and str(work_dir) in found.replace("\\'", "'").replace('\\"', '"')
    slurm.answer("srun", err="srun: error: Unable to allocate resources: Requested nodes are busy\n", rc=1)
    (found,) = problems(slurm, work_dir)
    assert found.startswith("warning: no compute node could be asked") and "Requested nodes are busy" in found
    asked = next(call.argv for call in slurm.calls if call.argv[0] == "srun")
    assert asked[-3:-1] == ("sh", "-c") and asked[asked.index("-N1")] == "-N1"
