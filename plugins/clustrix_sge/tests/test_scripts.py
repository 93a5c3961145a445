"""The scripts that Grid Engine gets: golden files, and fields full of metacharacters.

A golden file that differs is either a mistake or a change that was meant. CLUSTRIX_ACCEPT=1 writes them all anew; read
the difference before committing it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clustrix_sge
from clustrix_core import bundle
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec
from clustrix_core.resources import Resources
from clustrix_core.transport.local import Local
from clustrix_sge import SgeOptions

GOLDEN = Path(__file__).parent / "golden"
GB = 2**30


def cluster(options: SgeOptions | None = None, **changes: Any) -> Cluster:
    return Cluster("grid", "sge", options or SgeOptions(), Local(), "/scratch/ada", **changes)


def job(resources: Resources | None = None, label: str = "simulate", **changes: Any) -> JobSpec:
    return JobSpec("0123456789abcdef", label, resources or Resources(), **changes)


FULL = Resources(
    cores=4,
    memory=3 * GB // 2,
    time=5400,
    gpus="a100:2",
    partition="short.q,long.q@@fast",
    account="physics",
    directives=("-m e", "-M ada@hpc.example", '-ac "COMMENT=two words"'),
    modules=("gcc/12.2.0", "openmpi"),
    env={"OMP_NUM_THREADS": "4", "MESSAGE": "it's $HOME\nand more"},
    setup=("source ~/venv/bin/activate", "ulimit -c 0"),
    teardown=("rm -rf /tmp/ada",),
)
CASES: dict[str, tuple[JobSpec, Cluster]] = {
    "minimal": (job(), cluster()),
    "full": (job(FULL, walltime=5400), cluster()),
    "array": (job(tasks=24, max_parallel=8), cluster()),
    "wide-array": (job(Resources(cores=2, memory=GB, gpus=1), tasks=3, width=8, walltime=90061), cluster()),
    "follow-up": (job(tasks=2, round=3), cluster()),
    "after": (job(after={"aa": "4711", "bb": "", "cc": "4712", "dd": "1 -now y"}), cluster()),
    "options": (
        job(Resources(cores=4, memory=GB + 1, gpus=1)),
        cluster(
            SgeOptions(
                settings="/opt/sge/settings.sh",
                parallel_environment="threads",
                memory_resource="mem_total",
                memory_per_slot=False,
                gpu_resource="cuda",
                project="physics",
                requeue=True,
            ),
            python="~/venv/bin/python -X dev",
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden(name: str) -> None:
    # The worker's directory is named after its contents, which change with every version.
    script = clustrix_sge.render_script(*CASES[name]).replace(bundle.digest(), "WORKER")
    file = GOLDEN / f"{name}.sh"
    if os.environ.get("CLUSTRIX_ACCEPT") == "1":
        file.write_text(script)
    assert file.exists() and script == file.read_text(), f"CLUSTRIX_ACCEPT=1 writes {file} anew"


def test_no_golden_file_is_left_over() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"{name}.sh" for name in CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_scripts_are_valid_and_repeatable(name: str) -> None:
    script = clustrix_sge.render_script(*CASES[name])
    assert script == clustrix_sge.render_script(*CASES[name])
    for shell in ("bash", "sh"):
        done = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def as_qsub_reads(script: str) -> list[str]:
    """The options of a script as qsub(1) reads them: every line that begins with ``#$``, wherever it stands."""
    lines = [line.removeprefix("#$") for line in script.split("\n") if line.startswith("#$")]
    return [word for line in lines for word in shlex.split(line)]


def test_the_head_is_read_as_it_was_meant() -> None:
    assert as_qsub_reads(clustrix_sge.render_script(*CASES["full"])) == [
        *("-N", "simulate-0123456789abcdef"),
        "-cwd",
        *("-S", "/bin/bash", "-j", "y", "-o", "/dev/null"),
        *("-pe", "smp", "4"),
        *("-l", "h_rt=5400"),
        *("-l", "h_vmem=384M"),  # of a slot
        *("-l", "a100=2"),
        *("-q", "short.q,long.q@@fast"),
        *("-A", "physics"),
        *("-m", "e", "-M", "ada@hpc.example", "-ac", "COMMENT=two words"),
    ]


EVIL = st.sampled_from(
    ["x\n#$ -q other", "x -q other", "x;id", "$(id)", "`id`", "'", '"', "x#y", "-p", "", "☃", "\u2028", "#$ -now y"]
)
TEXT = st.text(max_size=12) | EVIL | st.from_regex(r"[A-Za-z0-9_.,:=@%+/\-&|*()\[\]]{1,12}", fullmatch=True)
OPTIONS = {"project": "-P", "gpu_resource": "-l", "memory_resource": "-l", "parallel_environment": "-pe"}
ASKING = Resources(cores=2, memory=GB, gpus=1)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["partition", "account", "name", *OPTIONS]), TEXT)
def test_a_field_arrives_as_one_option_or_is_refused(field: str, value: str) -> None:
    try:
        if field in OPTIONS:
            script = clustrix_sge.render_script(job(ASKING), cluster(SgeOptions(**{field: value})))
        else:
            script = clustrix_sge.render_script(job(ASKING.but(**{field: value})), cluster())
    except ConfigError:
        return
    plain = as_qsub_reads(clustrix_sge.render_script(job(ASKING), cluster()))
    more = 2 if field in ("partition", "account", "project") else 0
    assert len(as_qsub_reads(script)) == len(plain) + more
    assert field == "name" or any(value in word for word in as_qsub_reads(script))


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL)
def test_no_label_gets_out_of_its_line(label: str) -> None:
    options = as_qsub_reads(clustrix_sge.render_script(job(label=label), cluster()))
    plain = as_qsub_reads(clustrix_sge.render_script(job(), cluster()))
    assert options[2:] == plain[2:] and options[0] == "-N"
    # qsub(1): what may not be in a name, and how it may not begin.
    assert not set(options[1]) & set("\n\t\r/:@\\*? ") and options[1].isascii() and options[1][0].isalpha()


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL.map(lambda text: f"-ac {text}"))
def test_a_raw_directive_stays_on_its_line_or_is_refused(line: str) -> None:
    try:
        script = clustrix_sge.render_script(job(Resources(directives=(line,))), cluster())
    except ConfigError:
        return
    assert script.split("\n").count(f"#$ {line}") == 1
    head = len(clustrix_sge.render_script(job(), cluster()).split("\n"))
    assert len(script.split("\n")) == head + 1


@pytest.mark.parametrize("bad", ["m e", "#$ -m e", " -m e", "\n-m e"])
def test_a_raw_directive_that_is_no_option_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="directives"):
        clustrix_sge.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize(
    "bad",
    ["-N x", "-t 1-3", "-o /tmp", "-e /tmp", "-j n", "-wd /tmp", "-cwd", "-C %", "-S /bin/csh", "-b y", "-sync y",
     "-now y", "-terse", "-clear", "-@ file", "-m e -N x", '-"N" x', "-'t' 1-3", "-verify", "-shell n"],
)  # fmt: skip
def test_a_raw_directive_that_would_lose_the_job_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="keep Clustrix from finding the job"):
        clustrix_sge.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize("bad", ["-w v", "-w p", "-l a=1 -w v"])
def test_what_submits_nothing_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="would keep Clustrix from finding"):
        clustrix_sge.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize("bad", ["-ac x=\\n", "-ac 'open", '-m "'])
def test_a_raw_directive_that_qsub_reads_unlike_shells_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"directives: .*(backslash|quotation)"):
        clustrix_sge.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize(
    "good", ["-m e", "-w e", "-h", "-hold_jid 17", "-l exclusive=true", "-pe mpi 32", "-a 01012000", "-V", "-r y"]
)
def test_other_raw_directives_pass(good: str) -> None:
    assert f"#$ {good}\n" in clustrix_sge.render_script(job(Resources(directives=(good,))), cluster())


@pytest.mark.parametrize("line", ["-hold_jid 17", "-m e -hold_jid_ad 17"])
def test_a_dependency_of_the_user_is_not_lost(line: str) -> None:
    asked = Resources(directives=(line,))
    with pytest.raises(ConfigError, match="Grid Engine keeps only one of the two"):
        clustrix_sge.render_script(job(asked, after={"aa": ""}), cluster())
    clustrix_sge.render_script(job(Resources(directives=("-a 01012000",)), after={"aa": ""}), cluster())


@pytest.mark.parametrize(
    "asked",
    [
        Resources(setup=("#$ -q other.q",)),
        Resources(teardown=("echo done", "cat <<X\n#$ -now y\nX")),
        Resources(env={"TEXT": "one\n#$ -N other"}),
    ],
)
def test_lines_of_the_user_are_never_read_as_directives(asked: Resources) -> None:
    """qsub heeds them anywhere in a script, also within quotes."""
    with pytest.raises(ConfigError, match=r"#\$ .*would be a directive to sge"):
        clustrix_sge.render_script(job(asked), cluster())
    clustrix_sge.render_script(job(Resources(setup=("# $ -q other.q", "echo '#$ -q other.q'"))), cluster())


@pytest.mark.parametrize(
    "asked", [Resources(nodes=2), Resources(qos="high"), Resources(constraint="intel"), Resources(exclusive=True)]
)
def test_what_grid_engine_has_no_word_for_is_refused(asked: Resources) -> None:
    with pytest.raises(ConfigError, match="Grid Engine knows nothing of that") as raised:
        clustrix_sge.render_script(job(asked), cluster())
    assert raised.value.hint


@pytest.mark.parametrize(
    ("cores", "width", "options", "line"),
    [
        (1, 1, {}, "h_vmem=1024M"),
        (1, 8, {}, "h_vmem=1024M"),
        (4, 1, {}, "h_vmem=256M"),
        (4, 2, {}, "h_vmem=256M"),
        (3, 1, {}, "h_vmem=342M"),  # never less than was asked for
        (4, 2, {"memory_per_slot": False}, "h_vmem=2048M"),
    ],
)
def test_memory_is_that_of_a_call_and_grid_engines_that_of_a_slot(
    cores: int, width: int, options: dict[str, Any], line: str
) -> None:
    asked = job(Resources(cores=cores, memory=GB), width=width)
    assert f"#$ -l {line}\n" in clustrix_sge.render_script(asked, cluster(SgeOptions(**options)))
