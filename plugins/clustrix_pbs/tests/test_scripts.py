"""The scripts that PBS gets, of both kinds: golden files, and fields full of metacharacters.

A golden file that differs is either a mistake or a change that was meant. CLUSTRIX_ACCEPT=1 writes them all anew; read
the difference before committing it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clustrix_pbs
from clustrix_core import bundle
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec, Site
from clustrix_core.resources import Resources
from clustrix_core.transport.local import Local
from clustrix_pbs import PBSOptions

GOLDEN = Path(__file__).parent / "golden"
GB = 2**30


def cluster(options: PBSOptions | None = None, **changes: Any) -> Cluster:
    return Cluster("hpc", "pbs", options or PBSOptions(), Local(), "/scratch/ada", **changes)


def torque(**options: Any) -> Cluster:
    return cluster(PBSOptions(dialect="torque", **options))


def job(resources: Resources | None = None, label: str = "simulate", **changes: Any) -> JobSpec:
    return JobSpec("0123456789abcdef", label, resources or Resources(), **changes)


FULL = Resources(
    cores=4,
    memory=3 * GB // 2,
    time=5400,
    gpus=2,
    nodes=2,
    partition="workq",
    account="physics",
    constraint="arch=linux:host=n1",
    exclusive=True,
    directives=("-p 10", '-M "ada@hpc.example"', "-m ae", "-W umask=027"),
    modules=("gcc/12.2.0", "openmpi"),
    env={"OMP_NUM_THREADS": "4", "MESSAGE": "it's $HOME\nand more"},
    setup=("source ~/venv/bin/activate", "ulimit -c 0"),
    teardown=("rm -rf /tmp/ada",),
)
WIDE = job(Resources(cores=2, memory=GB, gpus=1, time=360000), tasks=3, width=8)
CASES: dict[str, tuple[JobSpec, Cluster]] = {
    "minimal": (job(), cluster()),
    "full": (job(FULL), cluster()),
    "array": (job(tasks=24, max_parallel=8), cluster()),
    "wide-array": (WIDE, cluster()),
    "follow-up": (job(tasks=2, round=3), cluster()),
    "after": (job(after={"aa": "4711.vm", "bb": ""}), cluster()),
    "options": (job(), cluster(PBSOptions(rerunnable=False), python="~/venv/bin/python -X dev")),
    "torque-minimal": (job(), torque()),
    "torque-full": (job(FULL), torque(rerunnable=True)),
    "torque-array": (job(tasks=24, max_parallel=8), torque()),
    "torque-wide-array": (WIDE, torque()),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden(name: str) -> None:
    # The worker's directory is named after its contents, which change with every version.
    script = clustrix_pbs.render_script(*CASES[name]).replace(bundle.digest(), "WORKER")
    file = GOLDEN / f"{name}.sh"
    if os.environ.get("CLUSTRIX_ACCEPT") == "1":
        file.write_text(script)
    assert file.exists() and script == file.read_text(), f"CLUSTRIX_ACCEPT=1 writes {file} anew"


def test_no_golden_file_is_left_over() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"{name}.sh" for name in CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_scripts_are_valid_and_repeatable(name: str) -> None:
    script = clustrix_pbs.render_script(*CASES[name])
    assert script == clustrix_pbs.render_script(*CASES[name])
    for shell in ("bash", "sh"):
        done = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def options(script: str) -> list[str]:
    """The directives of a script as qsub(1B) finds them: up to the first line that is neither comment nor blank."""
    found = []
    for line in script.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#PBS"):
            found.append(line.removeprefix("#PBS "))
    return found


def render(resources: Resources | None = None, there: Cluster | None = None, **changes: Any) -> list[str]:
    return options(clustrix_pbs.render_script(job(resources, **changes), there or cluster()))


def test_the_first_contact_tells_which_pbs_it_is() -> None:
    """Before it, and where the server is silent, it is rendered as for OpenPBS; what is configured counts most."""
    for version, configured, select in (
        ("OpenPBS 23.06.06", None, True),
        ("PBS of unknown version", None, True),
        ("Torque 6.1.2", None, False),
        ("Torque 6.1.2", "openpbs", True),
        ("OpenPBS 23.06.06", "torque", False),
    ):
        site = Site("/scratch/ada", (3, 11), scheduler=version)
        there = cluster(PBSOptions(dialect=configured), site=site)  # type: ignore[arg-type]
        assert ("-l select=1:ncpus=1" in render(there=there)) is select
        assert ("-l nodes=1:ppn=1" in render(there=there)) is not select


def test_an_array_of_one_task_is_none() -> None:
    """qsub refuses it: `-J 3-3` is illegal."""
    assert not [line for line in render(tasks=1) if line.startswith("-J")]
    assert "-J 0-1" in render(tasks=2) and "-J 0-1%1" in render(tasks=2, max_parallel=1)


def test_memory_is_that_of_a_chunk() -> None:
    """Ours is that of one call, of which a task runs ``width`` at a time. Torque counts the whole job's."""
    asked = Resources(memory=100 * 2**20 + 1, nodes=2)
    assert "-l select=2:ncpus=8:mem=801mb" in render(asked, width=8)
    assert "-l nodes=2:ppn=8,mem=1602mb" in render(asked, torque(), width=8)


def test_long_walltimes_have_many_hours() -> None:
    assert "-l walltime=99:59:59" in render(Resources(time=359999))
    assert "-l walltime=720:00:00" in render(Resources(time=30 * 86400))


def test_mail_is_the_users_if_he_says_so() -> None:
    assert "-m n" in render() and "-m n" not in render(Resources(directives=("-m ae",)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gpus": "a100:2"}, "no word of its own for kinds of GPUs"),
        ({"qos": "high"}, "PBS has none"),
        ({"constraint": "intel+2:ncpus=9"}, "not what a chunk may ask for"),
        ({"constraint": "a|b"}, "not what a chunk may ask for"),
    ],
)
def test_what_pbs_does_not_have_is_refused(asked: dict[str, Any], said: str) -> None:
    for there in (cluster(), torque()):
        with pytest.raises(ConfigError, match=said):
            render(Resources(**asked), there)


EVIL = st.sampled_from(
    ["x\n#PBS -q other", "x -q other", "x;id", "$(id)", "`id`", "'", '"', "x#y", "-p", "", "☃", "\u2028", "x,ncpus=9"]
)
TEXT = st.text(max_size=12) | EVIL | st.from_regex(r"[A-Za-z0-9_.,:=@%+/\-&|*()\[\]]{1,12}", fullmatch=True)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["partition", "account", "constraint", "name"]), TEXT, st.booleans())
def test_a_field_arrives_as_one_option_or_is_refused(field: str, value: str, old: bool) -> None:
    there = torque() if old else cluster()
    try:
        found = render(Resources(**{field: value}), there)
    except ConfigError:
        return
    plain = render(there=there)
    if field == "constraint":
        assert [line.replace(f":{value}", "", 1) for line in found] == plain
    else:
        more = {"partition": [f"-q {value}"], "account": [f"-A {value}"]}.get(field, [])
        assert sorted(found) == sorted([*plain, *more])
        assert not any(character.isspace() for character in value) or field == "name"


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL)
def test_no_label_gets_out_of_its_line(label: str) -> None:
    found, plain = render(label=label), render()
    assert found[1:] == plain[1:] and found[0].startswith("-N ") and len(found[0].split()) == 2


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL.map(lambda text: f"-p {text}"))
def test_a_raw_directive_stays_on_its_line_or_is_refused(line: str) -> None:
    try:
        script = clustrix_pbs.render_script(job(Resources(directives=(line,))), cluster())
    except ConfigError:
        return
    assert script.split("\n").count(f"#PBS {line}") == 1


@pytest.mark.parametrize("bad", ["p=10", "#PBS -p 10", " -p 10", "\n-p 10", "select=1"])
def test_a_raw_directive_that_is_no_option_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"directives|line of text"):
        render(Resources(directives=(bad,)))


@pytest.mark.parametrize(
    "bad",
    ["-N x", "-Nx", "-J 0-3", "-J0-3", "-t 0-3", "-o x", "-e x", "-j eo", "-k oe", "-I", "-z", "-C #X", "-S /bin/sh",
     "-d /tmp", "-w /tmp", "-u root", "-hJ0-3", "-fo x", "-p 1 -N x", '-p "1 -N x"', '-p 1 "-N" x', "-p 1 -'N'x",
     "-Vz", "-nI"],
)  # fmt: skip
def test_a_raw_directive_that_would_lose_the_job_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="keep Clustrix from finding the job"):
        render(Resources(directives=(bad,)))


@pytest.mark.parametrize(
    "bad", ["-W block=true", "-Wblock=true", "-W umask=027,block=true", '-W "block=true"', "-hWblock=1"]
)
def test_a_raw_directive_that_would_keep_qsub_waiting_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="keep Clustrix from finding the job"):
        render(Resources(directives=(bad,)))


def test_a_raw_directive_with_a_backslash_is_refused() -> None:
    with pytest.raises(ConfigError, match="backslash"):
        render(Resources(directives=("-p 1 \\-N x",)))


@pytest.mark.parametrize(
    "good",
    ["-p 10", "-h", "-a 2359", "-M ada@hpc.example", "-m ae", "-l software=matlab", "-v A=1,B=2", "-V", "-P project",
     "-W umask=027", "-W depend=afterok:17.vm", "-R oe", "-c s", "-l place=scatter"],
)  # fmt: skip
def test_other_raw_directives_pass(good: str) -> None:
    assert good in render(Resources(directives=(good,)))


@pytest.mark.parametrize(
    "line", ["-W depend=afterok:1.vm", "-Wdepend=afterok:1.vm", '-W "depend=on:1"', "-hWdepend=on:1"]
)
def test_a_dependency_of_the_user_is_not_lost(line: str) -> None:
    asked = Resources(directives=(line,))
    assert line in render(asked)
    with pytest.raises(ConfigError, match="PBS keeps only one of the two"):
        render(asked, after={"aa": ""})
