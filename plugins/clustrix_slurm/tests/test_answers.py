"""What Slurm's commands print, as recorded on 22.05.8, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.batch import Row
from clustrix_core.errors import TransportError
from clustrix_core.model import JobHandle, JobState
from clustrix_slurm import answers

ARRAY = JobHandle("aaaa", "rec-aaaa", "852", tasks=100)
SINGLE = JobHandle("bbbb", "rec-bbbb", "853", submitted=1_700_000_000.0)


@pytest.mark.parametrize(
    ("answer", "native"),
    [("123\n", "123"), ("123;cluster\n", "123"), ("sbatch: lua: welcome\n4711\n", "4711"), ("  \n12\n\n", "12")],
)
def test_the_id_of_a_job(answer: str, native: str) -> None:
    assert answers.read_job_id(answer) == native


@pytest.mark.parametrize("answer", ["", "\n", "Submitted batch job\n", "abc\n", "123 456\n", "123\nbut not really\n"])
def test_an_answer_without_an_id_leaves_it_open_whether_there_is_a_job(answer: str) -> None:
    with pytest.raises(TransportError, match="there may be one") as raised:
        answers.read_job_id(answer)
    assert raised.value.transient


SQUEUE = """853|N/A|FAILED|NonZeroExitCode|rec-bbbb
852|10-99%10|PENDING|JobArrayTaskLimit|rec-aaaa
852|0|RUNNING|None|rec-aaaa
852|1|COMPLETING|None|rec-aaaa
854|N/A|RUNNING|None|somebody elses | job
855|1-47:2|PENDING|Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions|other
"""
# The same job as the other format pads it.
CODES = f"{'853':24}{'N/A':80}{'768':12}{'rec-bbbb':64}\n"


PACED = "as many of its tasks run as may at a time (JobArrayTaskLimit)"


def test_squeue() -> None:
    assert list(answers.read_squeue([ARRAY, SINGLE], SQUEUE + CODES)) == [
        Row("853", "rec-bbbb", "FAILED", "NonZeroExitCode", 3),
        Row("852", "rec-aaaa", "PENDING", PACED, None, tuple(range(10, 100))),
        Row("852", "rec-aaaa", "RUNNING", "", None, (0,)),
        Row("852", "rec-aaaa", "COMPLETING", "", None, (1,)),
    ]


def test_reasons_with_commas_and_spaces_are_kept_whole() -> None:
    reason = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    (row,) = answers.read_squeue([SINGLE], f"853|N/A|PENDING|{reason}|rec-bbbb\n")
    assert (row.word, row.reason) == ("PENDING", reason)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("JobHeldUser", "held by the user (JobHeldUser): scontrol release 853"),
        ("Priority", "waiting behind jobs of higher priority (Priority)"),
        ("Dependency", "waiting for other jobs (Dependency)"),
        ("DependencyNeverSatisfied", "it will never start; clustrix cancel"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-3]", "reserved (ReqNodeNotAvail, UnavailableNodes:n[1-3])"),
        ("PartitionTimeLimit", "more time than its partition allows (PartitionTimeLimit): clustrix cancel, and ask"),
        ("QOSMaxJobsPerUserLimit", "waiting for other jobs: a limit of its account, user or QOS (QOSMaxJobsPerUser"),
        ("AssocGrpCpuLimit", "waiting for other jobs: a limit of its account"),
        ("AssocMaxJobsLimit", "waiting for other jobs: a limit of its account"),
        ("AssocGrpCPUMinutesLimit", "used up (AssocGrpCPUMinutesLimit): ask the site"),
        ("QOSMaxCpuPerUserLimit", "waiting for other jobs"),
        (
            "QOSMaxWallDurationPerJobLimit",
            "more than one job may have (QOSMaxWallDurationPerJobLimit): clustrix cancel",
        ),
        ("QOSMinCpuNotSatisfied", "less than its QOS is for"),
    ],
)
def test_why_a_job_waits_is_said_in_words(word: str, said: str) -> None:
    (row,) = answers.read_squeue([SINGLE], f"853|N/A|PENDING|{word}|rec-bbbb\n")
    assert said in row.reason and word in row.reason


@pytest.mark.parametrize("word", ["OutOfMemory", "NonZeroExitCode", "TimeLimit", "Phase of the moon (Full)", "{id}"])
def test_other_reasons_are_left_as_they_are(word: str) -> None:
    (row,) = answers.read_squeue([SINGLE], f"853|N/A|PENDING|{word}|rec-bbbb\n")
    assert row.reason == word


def test_a_job_that_is_over_waits_for_nothing() -> None:
    (row,) = answers.read_squeue([SINGLE], "853|N/A|CANCELLED|DependencyNeverSatisfied|rec-bbbb\n")
    assert row.reason == "DependencyNeverSatisfied"


def test_arrays_as_squeue_and_sacct_write_them() -> None:
    other = JobHandle("cccc", "x", "2509", tasks=100)
    (queued,) = answers.read_squeue([other], "2509|[16-99%10]|PENDING|None|x\n")
    (kept,) = answers.read_sacct([other], "2509_[16-99%10]|CANCELLED by 1001|0:0|x\n")
    assert queued.tasks == kept.tasks == tuple(range(16, 100))


SACCT = """852_0|CANCELLED by 1001|0:0|rec-aaaa
852_[10-99%10]|CANCELLED by 1001|0:0|rec-aaaa
853|FAILED|3:0|rec-bbbb
854|OUT_OF_MEMORY|0:125|oom
855|FAILED|0:53|no-log
856|FAILED|0:9|killed
857|TIMEOUT|0:0|late
858|NODE_FAIL|1:0|down
859|COMPLETED|0:0|a|b
"""


def test_sacct() -> None:
    rows = {row.native + (f"_{row.tasks[0]}" if row.tasks else ""): row for row in answers.read_sacct([], SACCT)}
    assert (rows["852_0"].word, rows["852_0"].reason, rows["852_0"].exit_code) == ("CANCELLED", "by 1001", 0)
    assert rows["852_10"].tasks == tuple(range(10, 100))
    assert [(rows[native].word, rows[native].exit_code) for native in ("853", "854", "855", "856", "857", "858")] == [
        ("FAILED", 3),
        ("OUT_OF_MEMORY", None),
        ("FAILED", None),
        ("FAILED", 137),
        ("TIMEOUT", 0),
        ("NODE_FAIL", 1),
    ]
    assert "could not start it" in rows["855"].reason
    assert rows["859"].name == "a|b"


@given(st.text())
def test_nothing_that_is_printed_breaks_the_readers(text: str) -> None:
    for row in [*answers.read_squeue([SINGLE], text), *answers.read_sacct([SINGLE], text)]:
        assert isinstance(row, Row)


MANUAL = """
    BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED
    RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED
    SUSPENDED TIMEOUT
"""


def test_the_state_table_is_that_of_the_manual() -> None:
    """squeue(1) and sacct(1), JOB STATE CODES, of 22.05."""
    known = set(MANUAL.split())
    assert known <= set(answers.STATES)
    assert {word for word in known if answers.STATES[word] is JobState.SUCCEEDED} == {"COMPLETED"}
    assert JobState.UNKNOWN not in answers.STATES.values() and JobState.LOST not in answers.STATES.values()


def test_accounting_is_asked_by_id_and_since_before_the_first_job() -> None:
    argv = answers.sacct([SINGLE, JobHandle("c", "rec-c", "17", submitted=1_700_100_000.0)], None)  # type: ignore[arg-type]
    assert argv[argv.index("-j") + 1] == "853,17" and "--name" not in argv
    assert argv[argv.index("-S") + 1] in ("2023-11-12", "2023-11-13")  # two days earlier, wherever on earth


def test_to_find_a_job_accounting_is_asked_by_name_for_ends_too() -> None:
    """By name alone it keeps quiet about a job that was cancelled while it was pending."""
    argv = answers.sacct([JobHandle("c", "rec-c", "")], None)  # type: ignore[arg-type]
    assert argv[argv.index("--name") + 1] == "rec-c" and "-j" not in argv
    assert argv[argv.index("-E") + 1] == "now" and "CA" in argv[argv.index("-s") + 1].split(",")
