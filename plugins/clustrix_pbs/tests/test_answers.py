"""What PBS's commands print, as observed on OpenPBS 23.06.06 or documented of Torque, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.batch import Row
from clustrix_core.errors import TransportError
from clustrix_core.model import JobHandle, JobState
from clustrix_pbs import answers

ARRAY = JobHandle("aaaa", "rec-aaaa", "7[].vm", tasks=10)
SINGLE = JobHandle("bbbb", "rec-bbbb", "0.vm")
S = JobState


@pytest.mark.parametrize(
    ("answer", "native"),
    [
        ("0.vm\n", "0.vm"),
        ("7[].vm\n", "7[].vm"),
        ("1234567.pbs-01.hpc.example\n", "1234567.pbs-01.hpc.example"),
        ("qsub: waiting for somebody\n4711.vm\n\n", "4711.vm"),
        ("4711\n", "4711"),  # Torque with display_job_server_suffix = False
    ],
)
def test_the_id_of_a_job(answer: str, native: str) -> None:
    assert answers.read_job_id(answer) == native


@pytest.mark.parametrize(
    "answer", ["", "\n", "done\n", "7[3].vm; id\n", "0.vm\nbut not really\n", "0 .vm\n", "$(id).vm"]
)
def test_an_answer_without_an_id_leaves_it_open_whether_there_is_a_job(answer: str) -> None:
    with pytest.raises(TransportError, match="there may be one") as raised:
        answers.read_job_id(answer)
    assert raised.value.transient


def shown(id: str, name: str, **attributes: object) -> str:
    """What ``qstat -f`` prints of a job; __ in a name is a dot."""
    lines = [f"    {key.replace('__', '.')} = {value}" for key, value in {"Job_Name": name, **attributes}.items()]
    return "\n".join([f"Job Id: {id}", *lines, "", ""])


def row(**attributes: object) -> Row:
    """What is made of a job with these attributes."""
    (found,) = answers.read([SINGLE], shown("0.vm", "rec-bbbb", **attributes))
    assert (found.native, found.name, found.tasks) == ("0.vm", "rec-bbbb", ())
    return found


def end(**attributes: object) -> tuple[JobState, str, int | None]:
    found = row(**{"job_state": "F", "stime": "Sun Nov 22 07:24:37 2026", **attributes})
    return answers.STATES[found.word], found.reason, found.exit_code


NEVER = "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)"
RAN = "Job run at Sun Nov 22 at 07:24 on (vm:ncpus=1)"


@pytest.mark.parametrize(
    ("attributes", "state", "code"),
    [
        ({"Exit_status": 0, "substate": 92, "comment": f"{RAN} and finished"}, S.SUCCEEDED, 0),
        ({"Exit_status": 3, "substate": 93, "comment": f"{RAN} and failed"}, S.FAILED, 3),
        ({"Exit_status": 127, "substate": 93}, S.FAILED, 127),
        ({"Exit_status": 254, "substate": 93}, S.FAILED, 254),
        ({"Exit_status": 137, "substate": 93}, S.FAILED, 137),
        ({"Exit_status": 139, "substate": 93}, S.FAILED, 139),
        ({"Exit_status": 265, "substate": 93}, S.FAILED, 137),
        ({"Exit_status": 143, "substate": 91}, S.CANCELLED, 143),
        ({"Exit_status": 271, "substate": 91}, S.CANCELLED, 143),
        ({"Exit_status": 271, "substate": 93}, S.CANCELLED, 143),
        ({"Exit_status": 143, "substate": 93, "comment": f"{RAN} and failed"}, S.FAILED, 143),  # the script's own
        ({"Exit_status": -29, "comment": f"{RAN} and exceeded resource walltime"}, S.TIMEOUT, None),
        ({"Exit_status": -27, "comment": f"{RAN} and exceeded resource mem"}, S.OUT_OF_MEMORY, None),
        ({"Exit_status": -4, "substate": 93}, S.NODE_FAIL, None),
        ({"Exit_status": -13, "substate": 93}, S.FAILED, None),
        ({"exit_status": 0}, S.SUCCEEDED, 0),
        ({"exit_status": 1}, S.FAILED, 1),
        ({"exit_status": -11}, S.TIMEOUT, None),
        ({"exit_status": -10}, S.OUT_OF_MEMORY, None),
        ({"exit_status": 271}, S.CANCELLED, 143),
        (
            {"exit_status": 271, "resources_used__walltime": "00:00:12", "Resource_List__walltime": "00:00:10"},
            S.TIMEOUT,
            143,
        ),
        (
            {"exit_status": 271, "resources_used__walltime": "00:00:12", "Resource_List__walltime": "100:00:00"},
            S.CANCELLED,
            143,
        ),
    ],
)
def test_ends(attributes: dict[str, object], state: JobState, code: int | None) -> None:
    found, reason, exit_code = end(**attributes)
    assert (found, exit_code) == (state, code)
    assert reason == attributes.get("comment", reason)


def test_openpbs_and_torque_mean_different_things_by_the_same_numbers() -> None:
    assert end(Exit_status=-11)[0] is S.FAILED  # to OpenPBS a job that was to run again
    assert end(exit_status=-11)[0] is S.TIMEOUT
    assert end(exit_status=-27)[0] is S.FAILED


def test_jobs_that_never_ran() -> None:
    """F without Exit_status, stime and exec_host."""
    dependency = row(job_state="F", substate=92)
    assert answers.STATES[dependency.word] is S.CANCELLED and "never ran: a job before it" in dependency.reason
    queued = row(job_state="F", substate=91, comment="Not Running: Insufficient amount of resource: ncpus")
    assert answers.STATES[queued.word] is S.CANCELLED and queued.reason.startswith("Not Running")
    other = row(job_state="F", substate=93)
    assert answers.STATES[other.word] is S.FAILED and other.reason and other.exit_code is None


@pytest.mark.parametrize(
    ("attributes", "state", "reason"),
    [
        (
            {"job_state": "Q", "comment": "Not Running: Queue not started."},
            S.PENDING,
            "Not Running: Queue not started.",
        ),
        (
            {"job_state": "Q", "comment": NEVER},
            S.PENDING,
            f"{NEVER}: clustrix cancel, and ask for less",
        ),
        ({"job_state": "Q", "comment": "one\\, two"}, S.PENDING, "one, two"),
        ({"job_state": "H", "Hold_Types": "u"}, S.PENDING, "held by the user: qrls 0.vm"),
        ({"job_state": "H", "Hold_Types": "o"}, S.PENDING, "held: ask the site"),
        ({"job_state": "H", "Hold_Types": "s", "depend": "afterany:7.vm@vm"}, S.PENDING, "waiting for other jobs"),
        ({"job_state": "W"}, S.PENDING, "waiting for its time to begin"),
        ({"job_state": "T"}, S.PENDING, "on its way to another server"),
        ({"job_state": "S"}, S.RUNNING, "suspended"),
        ({"job_state": "U"}, S.RUNNING, ""),
        ({"job_state": "R", "comment": RAN}, S.RUNNING, ""),
        ({"job_state": "E", "Exit_status": 0}, S.RUNNING, ""),
    ],
)
def test_jobs_that_are_not_over(attributes: dict[str, object], state: JobState, reason: str) -> None:
    found = row(**attributes)
    assert (answers.STATES[found.word], found.reason, found.exit_code) == (state, reason, None)


def test_a_state_that_is_not_known_is_told_as_it_is() -> None:
    assert row(job_state="M").word == "M" and "M" not in answers.STATES


PARENT = {"array": True, "array_state_count": "Queued:6 Running:4 Exiting:0 Expired:0 ", "Exit_status": 0}


def tasks(answer: str) -> dict[int | None, JobState]:
    return {(row.tasks[0] if row.tasks else None): answers.STATES[row.word] for row in answers.read([ARRAY], answer)}


def test_an_array_that_has_begun() -> None:
    answer = (
        shown("7[].vm", "rec-aaaa", job_state="B", **PARENT)
        + shown("7[0].vm", "rec-aaaa", job_state="X", substate=92, Exit_status=0, stime="x")
        + shown("7[1].vm", "rec-aaaa", job_state="X")  # as some versions show it: what it ended with is not said
        + shown("7[2].vm", "rec-aaaa", job_state="X", substate=93, Exit_status=4, stime="x")
        + shown("7[3].vm", "rec-aaaa", job_state="R")
        + shown("7[4].vm", "rec-aaaa", job_state="Q")
    )
    assert tasks(answer) == {None: S.RUNNING, 0: S.SUCCEEDED, 2: S.FAILED, 3: S.RUNNING, 4: S.PENDING}
    assert {row.native for row in answers.read([ARRAY], answer)} == {"7[].vm"}


def test_the_exit_status_of_an_array_is_never_believed() -> None:
    """It is that of the task that finished last."""
    over = shown("7[].vm", "rec-aaaa", job_state="F", substate=92, stime="x", **PARENT)
    assert tasks(over) == {}
    failed = shown("7[3].vm", "rec-aaaa", job_state="F", substate=93, Exit_status=1, stime="x")
    assert tasks(over + failed) == {3: S.FAILED}


def test_tasks_that_never_ran_of_an_array_that_was_deleted() -> None:
    never = {"job_state": "F", "substate": 91, "Exit_status": 1, "comment": "Subjob finished"}
    assert tasks(shown("7[4].vm", "rec-aaaa", **never)) == {4: S.CANCELLED}


def test_torque_gives_each_task_a_name_of_its_own() -> None:
    answer = shown("7[3].vm", "rec-aaaa-3", job_state="C", exit_status=271, start_time="x")
    answer += shown("7[4].vm", "rec-aaaa-3", job_state="R")  # somebody's job that is called so
    assert tasks(answer) == {3: S.CANCELLED}


FOLDED = """Job Id: 0.vm
    Job_Name = rec-b
\tbbb
    Job_Owner = ada@vm
    job_state = Q
    Variable_List = PBS_O_HOME=/home/ada,PBS_O_WORKDIR=/home/ada/a\\,b,MESSAGE=tw
\to
lines
    job_state = F
    Exit_status = 0,LAST=1
    comment = Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8
\t T: 8)
"""


def test_lines_that_are_folded_in_a_word_and_values_with_line_ends() -> None:
    (found,) = answers.read([SINGLE], FOLDED)
    assert (found.name, found.word) == ("rec-bbbb", "Q") and "(R: 64 A: 8 T: 8)" in found.reason


def test_other_peoples_odd_jobs_break_nothing() -> None:
    odd = "Job Id: 9.vm\n    Job_Name = \n    Variable_List = X=\ufffd\ufffd,Y=\x01\x02\n\n"
    odd += "Job Id: nonsense[[].vm\n    Job_Name = rec-bbbb\n    job_state = F\n\n"
    odd += "Job Id: 10.vm\nJob Id: \n    inf\n"
    good = shown("0.vm", "rec-bbbb", job_state="R")
    assert [found.native for found in answers.read([SINGLE], odd + good + odd)] == ["0.vm"]


@given(st.text())
def test_nothing_that_is_printed_breaks_the_readers(text: str) -> None:
    for answer in (
        text,
        f"Job Id: {text}\n    Job_Name = rec-bbbb\n    job_state = F\n",
        shown("0.vm", "rec-bbbb", job_state="F", Exit_status=text),
    ):
        for found in answers.read([SINGLE], answer):
            assert isinstance(found, Row)


def test_the_state_table_is_that_of_the_manual() -> None:
    """qstat(1B), of OpenPBS and Torque; M is on another server, and F, X and C tell no end by themselves."""
    letters = {word for word in answers.STATES if len(word) == 1}
    assert letters == set("QHWTREBSU")
    assert {word for word, state in answers.STATES.items() if state is S.SUCCEEDED} == {"finished"}
    assert S.UNKNOWN not in answers.STATES.values() and S.LOST not in answers.STATES.values()
