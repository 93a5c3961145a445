"""The fake PBS server answers as an OpenPBS 23.06.06 was observed to: the same words, exit codes and habits."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.real.onlooker import until
from tests.testbeds.pbs import PBSBed

Done = subprocess.CompletedProcess[str]


def call(bed: PBSBed, *argv: str, **more: str) -> Done:
    return bed.call(*argv, cwd=str(bed.home), **more)  # type: ignore[arg-type]


def submit(bed: PBSBed, script: str, *options: str, **more: str) -> str:
    done = call(bed, "qsub", *options, stdin=script, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def attributes(bed: PBSBed, id: str, *options: str) -> dict[str, str]:
    """What ``qstat -x -f -w`` shows of the last job asked for."""
    shown = call(bed, "qstat", "-x", "-f", "-w", *options, id).stdout
    return dict(re.findall(r"^    (\S+) = (.*)$", shown, re.MULTILINE))


def over(bed: PBSBed, id: str) -> dict[str, str]:
    """Wait for the end of a job, and return what is shown of it."""
    until(lambda: attributes(bed, id).get("job_state") == "F", f"{id} is over", 30)
    return attributes(bed, id)


def said(done: Done) -> tuple[str, int]:
    return done.stderr.strip(), done.returncode


@pytest.fixture(scope="module")
def finished(pbs_bed: PBSBed) -> str:
    id = submit(pbs_bed, "true\n")
    over(pbs_bed, id)
    return id


def test_ids(pbs_bed: PBSBed) -> None:
    assert re.fullmatch(r"\d+\.vm", submit(pbs_bed, "true\n"))
    array = submit(pbs_bed, "true\n", "-J", "0-3")
    assert re.fullmatch(r"\d+\[\]\.vm", array)
    assert "Job Id: " + array.replace("[]", "[3]") in call(pbs_bed, "qstat", "-x", "-t", "-f", array).stdout
    bare = array.replace("[]", "")
    assert said(call(pbs_bed, "qstat", "-x", bare)) == (f"qstat: Unknown Job Id {bare}", 153)


@pytest.mark.parametrize(
    ("options", "words", "rc"),
    [
        (["-q", "nosuch"], "Unknown queue", 170),
        (["-l", "select=1:foo=3"], "Unknown resource: foo", 187),
        (["-l", "select=1:ncpus=many"], "Illegal attribute or resource value", 166),
        (["-N", "x" * 231], "usage", 2),
        (["-J", "3-3"], "usage", 2),
        (["-J", "0-10000"], "Array job exceeds server or queue size limit", 3),
    ],
)
def test_refusals(pbs_bed: PBSBed, options: list[str], words: str, rc: int) -> None:
    done = call(pbs_bed, "qsub", *options, stdin="true\n")
    assert words in done.stderr and (done.returncode, done.stdout) == (rc, "")


def test_what_is_accepted(pbs_bed: PBSBed) -> None:
    submit(pbs_bed, "true\n", "-N", "x" * 230)
    assert call(pbs_bed, "qsub", stdin="true\r\n").returncode == 1
    script = "#PBS -l select=1:ncpus=2:mem=1gb -l walltime=00:10:00 -N said -v A=1\n#PBS -j oe -r n -A account\ntrue\n"
    known = attributes(pbs_bed, submit(pbs_bed, script))
    assert (known["Job_Name"], known["Resource_List.select"]) == ("said", "1:ncpus=2:mem=1gb")
    assert (known["Resource_List.walltime"], known["Rerunable"]) == ("00:10:00", "False")


def test_where_and_with_what_a_job_begins(pbs_bed: PBSBed) -> None:
    script = 'pwd; echo "$PBS_O_WORKDIR $PBS_JOBID"; echo "$PBS_ARRAY_INDEX $PBS_ARRAY_ID"\n'
    done = pbs_bed.call("qsub", "-o", f"{pbs_bed.home}/where.^array_index^", "-J", "2-3", stdin=script, cwd="/tmp")
    array = done.stdout.strip()
    over(pbs_bed, array)
    file = pbs_bed.home / "where.2"
    assert file.read_text() == f"{pbs_bed.home}\n/tmp {array.replace('[]', '[2]')}\n2 {array}\n"


def test_logs_appear_only_at_the_end_and_are_closed(pbs_bed: PBSBed) -> None:
    id = submit(pbs_bed, "echo out; echo err >&2; sleep 2\n", "-N", "late")
    out, err = (pbs_bed.home / f"late.{letter}{id.partition('.')[0]}" for letter in "oe")
    time.sleep(1)
    assert not out.exists()
    over(pbs_bed, id)
    assert (out.read_text(), err.read_text()) == ("out\n", "err\n")
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 3\n", "3"),
        ("nosuchcommand\n", "127"),
        ("kill -9 $$\n", "137"),
        ("kill -SEGV $$\n", "139"),
        ("true\n", "0"),
    ],
)
def test_exit_codes(pbs_bed: PBSBed, script: str, code: str) -> None:
    known = over(pbs_bed, submit(pbs_bed, script))
    assert (known["Exit_status"], known["substate"]) == (code, "92" if code == "0" else "93")
    assert "stime" in known and "exec_host" in known


def test_a_shell_that_is_not_there(pbs_bed: PBSBed) -> None:
    assert over(pbs_bed, submit(pbs_bed, "true\n", "-S", "/bin/nosuch"))["Exit_status"] == "254"


def test_walltime(pbs_bed: PBSBed) -> None:
    begun = time.monotonic()
    id = submit(pbs_bed, "trap '' TERM\nwhile :; do sleep 1; done\n", "-l", "walltime=1", "-N", "wall")
    known = over(pbs_bed, id)
    assert 11 < time.monotonic() - begun < 20  # KILL comes 10 s after TERM
    assert known["Exit_status"] == "-29" and known["comment"].endswith("and exceeded resource walltime")
    error = (pbs_bed.home / f"wall.e{id.partition('.')[0]}").read_text()
    assert re.search(r"=>> PBS: job killed: walltime \d+ exceeded limit 1\n", error)


def test_memory(pbs_bed: PBSBed) -> None:
    hungry = "python3 -c \"import time; held = bytearray(b'x') * (300 << 20); time.sleep(20)\"\n"
    id = submit(pbs_bed, hungry, "-l", "select=1:mem=50mb", "-N", "mem")
    assert over(pbs_bed, id)["Exit_status"] == "-27"
    error = (pbs_bed.home / f"mem.e{id.partition('.')[0]}").read_text()
    assert re.search(r"=>> PBS: job killed: mem \d+kb exceeded limit 51200kb\n", error)


@pytest.mark.parametrize(("whole", "code"), [(True, "271"), (False, "143")])
def test_qdel_of_a_running_job(pbs_bed: PBSBed, whole: bool, code: str) -> None:
    """Both occur."""
    with pbs_bed.but(whole=whole):
        id = submit(pbs_bed, "sleep 60\n")
        until(lambda: attributes(pbs_bed, id)["job_state"] == "R", "it runs")
        time.sleep(0.3)
        assert said(call(pbs_bed, "qdel", id)) == ("", 0)
        known = over(pbs_bed, id)
    assert (known["Exit_status"], known["substate"]) == (code, "91")


def test_qdel_of_a_job_that_ignores_it(pbs_bed: PBSBed) -> None:
    id = submit(pbs_bed, "trap '' TERM\nwhile :; do sleep 1; done\n")
    until(lambda: attributes(pbs_bed, id)["job_state"] == "R", "it runs")
    time.sleep(0.3)
    begun = time.monotonic()
    call(pbs_bed, "qdel", id)
    over(pbs_bed, id)
    assert 9.5 < time.monotonic() - begun < 15


def test_jobs_that_never_ran(pbs_bed: PBSBed) -> None:
    """F without Exit_status, stime and exec_host."""
    queued = submit(pbs_bed, "true\n", "-h")
    call(pbs_bed, "qdel", queued)
    bad = submit(pbs_bed, "exit 1\n")
    after = submit(pbs_bed, "true\n", "-W", f"depend=afterok:{bad}")
    assert attributes(pbs_bed, after)["job_state"] in "HF"
    unknown = submit(pbs_bed, "true\n", "-W", "depend=afterok:99999.vm")  # accepted, and over at once
    assert attributes(pbs_bed, unknown)["job_state"] == "F"
    for id, substate in ((queued, "91"), (after, "92"), (unknown, "92")):
        known = over(pbs_bed, id)
        assert known["substate"] == substate
        assert not {"Exit_status", "stime", "exec_host"} & known.keys()
    assert "comment" not in over(pbs_bed, after)


def test_a_job_that_can_never_run(pbs_bed: PBSBed) -> None:
    id = submit(pbs_bed, "true\n", "-l", "select=1:ncpus=64")
    comment = "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)"
    until(lambda: attributes(pbs_bed, id).get("comment") == comment, "it says why")
    assert attributes(pbs_bed, id)["job_state"] == "Q"
    call(pbs_bed, "qdel", id)


def test_arrays(pbs_bed: PBSBed) -> None:
    script = 'sleep 1; [ "$PBS_ARRAY_INDEX" != 0 ]\n'
    id = submit(pbs_bed, script, "-J", "0-9%4")
    until(lambda: attributes(pbs_bed, id)["job_state"] == "B", "it has begun")
    begun = until(
        lambda: (a := attributes(pbs_bed, id))["array_state_count"].startswith("Queued:6 Running:4") and a, "four run"
    )
    assert begun["array_state_count"].strip() == "Queued:6 Running:4 Exiting:0 Expired:0"
    assert begun["array_indices_remaining"] == "4-9"
    first = id.replace("[]", "[0]")
    until(lambda: attributes(pbs_bed, first)["job_state"] == "X", "one task is over")
    known = over(pbs_bed, id)
    assert known["Exit_status"] == "0", "that of the task that finished last"
    assert attributes(pbs_bed, first)["Exit_status"] == "1" and attributes(pbs_bed, first)["job_state"] == "F"
    after = submit(pbs_bed, "true\n", "-W", f"depend=afterok:{id}")
    assert over(pbs_bed, after)["Exit_status"] == "0", "released although a task has failed"


def test_an_array_that_is_deleted(pbs_bed: PBSBed) -> None:
    id = submit(pbs_bed, "sleep 60\n", "-J", "0-3%1")
    until(lambda: attributes(pbs_bed, id)["job_state"] == "B", "it has begun")
    time.sleep(0.3)
    call(pbs_bed, "qdel", id)
    over(pbs_bed, id)
    never = attributes(pbs_bed, id.replace("[]", "[3]"))
    assert (never["job_state"], never["substate"], never["Exit_status"]) == ("F", "91", "1")
    assert never["comment"] == "Subjob finished"


def test_what_qstat_says_of_jobs_that_are_not_in_the_queue(pbs_bed: PBSBed, finished: str) -> None:
    use = "use -x or -H to obtain historical job information"
    assert said(call(pbs_bed, "qstat", finished)) == (f"qstat: {finished} Job has finished, {use}", 35)
    for options in ([], ["-x"]):
        done = call(pbs_bed, "qstat", *options, "99999.vm")
        assert said(done) == ("qstat: Unknown Job Id 99999.vm", 153)
    both = call(pbs_bed, "qstat", "-x", "-f", "-w", finished, "99999.vm")
    assert both.returncode == 153 and f"Job Id: {finished}" in both.stdout and "Unknown Job Id" in both.stderr


def test_what_qdel_says(pbs_bed: PBSBed, finished: str) -> None:
    assert said(call(pbs_bed, "qdel", finished)) == (f"qdel: Job has finished {finished}", 35)
    assert said(call(pbs_bed, "qdel", "99999.vm")) == ("qdel: Unknown Job Id 99999.vm", 153)
    id = submit(pbs_bed, "true\n")
    until(lambda: attributes(pbs_bed, id)["job_state"] == "E", "it is exiting")
    assert said(call(pbs_bed, "qdel", id)) == (f"qdel: Request invalid for state of job {id}", 168)


def test_without_history(pbs_bed: PBSBed) -> None:
    with pbs_bed.but(history=False):
        id = submit(pbs_bed, "true\n")
        until(lambda: call(pbs_bed, "qstat", id).returncode == 153, "it is forgotten")
        assert said(call(pbs_bed, "qstat", id)) == (f"qstat: Unknown Job Id {id}", 153)
        done = call(pbs_bed, "qstat", "-x", id)
        assert said(done) == (f"qstat: PBS is not configured to maintain job history {id}", 0)
        assert done.stdout == ""


@pytest.mark.parametrize(("program", "rc"), [("qstat", 255), ("qsub", 162), ("qdel", 162)])
def test_a_server_that_is_down(pbs_bed: PBSBed, program: str, rc: int) -> None:
    with pbs_bed.but(down=True):
        done = call(pbs_bed, program, "1.vm")
    assert said(done) == (f"Connection refused\n{program}: cannot connect to server vm (errno=15010)", rc)


def test_an_empty_queue_is_an_empty_answer(pbs_bed: PBSBed) -> None:
    done = call(pbs_bed, "qselect", "-u", pbs_bed.second_user)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_long_lines(pbs_bed: PBSBed) -> None:
    values = {"LONG": "word" * 40, "LINES": "one\ntwo", "LIST": "a,b"}
    id = submit(pbs_bed, "sleep 3\n", "-V", "-N", "a_name_of_more_than_15", **values)
    columns = call(pbs_bed, "qstat").stdout
    assert "a_name_of_more_*" in columns and "a_name_of_more_t" not in columns
    folded = call(pbs_bed, "qstat", "-f", id).stdout
    variables = folded[folded.index("    Variable_List") : folded.index("    etime")]
    first, *rest = variables.split("\n\t")
    assert len(first) == 79 and rest and "one\ntwo" in variables.replace("\n\t", "")
    assert "LIST=a\\,b" in variables.replace("\n\t", "") and "word" * 40 in variables.replace("\n\t", "")
    whole = call(pbs_bed, "qstat", "-f", "-w", id).stdout
    assert "\t" not in whole and "one\\ntwo" in whole and "word" * 40 in whole
    seen = call(pbs_bed, "qstat", "-f", "-w", id, user=pbs_bed.second_user)
    assert "one\\ntwo" in seen.stdout, "everybody sees the variables"


def test_who_asks_twice_within_a_second_waits(pbs_bed: PBSBed) -> None:
    def took(asking: Callable[[], object]) -> float:
        begun = time.monotonic()
        asking()
        return time.monotonic() - begun

    def ask() -> Done:
        return call(pbs_bed, "qstat", "-B")

    time.sleep(1.1)
    first, second = took(ask), took(ask)
    assert second > 0.2 and second > first


def test_a_job_that_runs_again(pbs_bed: PBSBed) -> None:
    id = submit(pbs_bed, "sleep 4\n")
    until(lambda: attributes(pbs_bed, id)["job_state"] == "R", "it runs")
    time.sleep(0.2)
    pbs_bed.set(rerun=id)
    assert over(pbs_bed, id)["run_count"] == "2"


def test_how_fast_it_is(pbs_bed: PBSBed) -> None:
    """`true` starts 0.1 s after qsub and is F after 1.4 s."""
    begun = time.monotonic()
    over(pbs_bed, submit(pbs_bed, "true\n"))
    assert 1 < time.monotonic() - begun < 4
