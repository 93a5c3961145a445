"""The scripts that Slurm gets: golden files, and fields full of metacharacters."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clustrix_slurm
from clustrix_core.errors import ConfigError
from clustrix_core.model import BackendInfo, Cluster, JobSpec
from clustrix_core.resources import Resources
from clustrix_core.testing import DescriptionContract, FakeTransport, ScriptContract
from clustrix_slurm import SlurmOptions

GB = 2**30


def cluster(options: SlurmOptions | None = None, **changes: Any) -> Cluster:
    return Cluster("hpc", "slurm", options or SlurmOptions(), FakeTransport(), "/scratch/ada", **changes)


def job(resources: Resources | None = None, label: str = "simulate", **changes: Any) -> JobSpec:
    return JobSpec("0123456789abcdef", label, resources or Resources(), **changes)


FULL = Resources(
    cores=4,
    memory=3 * GB // 2,
    time=5400,
    gpus="a100:2",
    nodes=2,
    partition="short,long",
    account="physics",
    qos="high",
    constraint="[rack1|rack2]&intel*2",
    exclusive=True,
    directives=("--mail-type=END", "--mail-user=ada@hpc.example", '--comment="two words"'),
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
    "after": (job(after={"aa": "4711", "bb": "", "cc": "4712", "dd": "1 --uid=0"}), cluster()),
    "options": (
        job(),
        cluster(SlurmOptions(reservation="maint_2026", requeue=False), python="~/venv/bin/python -X dev"),
    ),
    "requeue": (job(Resources(gpus=2)), cluster(SlurmOptions(requeue=True), python="python3.12")),
}


class TestScripts(DescriptionContract, ScriptContract):
    """What every plugin promises that needs no cluster; the rest is in tests/contract."""

    plugin = "slurm"

    def scripts(self, info: BackendInfo) -> dict[str, tuple[JobSpec, Cluster]]:
        return CASES


def as_slurm_reads(script: str) -> list[str]:
    """The options of a script as sbatch(1) reads them: up to the first line that is neither comment nor blank."""
    options = []
    for line in script.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith("#SBATCH"):
            options += shlex.split(line.removeprefix("#SBATCH"), comments=True)
    return options


def test_the_head_is_read_as_it_was_meant() -> None:
    assert as_slurm_reads(clustrix_slurm.render_script(*CASES["full"])) == [
        "--job-name=simulate-0123456789abcdef",
        "--output=log-0.0",
        "--open-mode=append",
        "--kill-on-invalid-dep=yes",
        "--cpus-per-task=4",
        "--nodes=2",
        "--mem=1536M",
        "--time=01:30:00",
        "--gres=gpu:a100:2",
        "--partition=short,long",
        "--account=physics",
        "--qos=high",
        "--constraint=[rack1|rack2]&intel*2",
        "--exclusive",
        "--mail-type=END",
        "--mail-user=ada@hpc.example",
        "--comment=two words",
    ]


EVIL = st.sampled_from(
    ["x\n#SBATCH -p other", "x -p other", "x;id", "$(id)", "`id`", "'", '"', "x#y", "-p", "", "☃", "\u2028"]
)
TEXT = st.text(max_size=12) | EVIL | st.from_regex(r"[A-Za-z0-9_.,:=@%+/\-&|*()\[\]]{1,12}", fullmatch=True)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["partition", "account", "qos", "constraint", "reservation", "name"]), TEXT)
def test_a_field_arrives_as_one_option_or_is_refused(field: str, value: str) -> None:
    try:
        if field == "reservation":
            script = clustrix_slurm.render_script(job(), cluster(SlurmOptions(reservation=value)))
        else:
            script = clustrix_slurm.render_script(job(Resources(**{field: value})), cluster())
    except ConfigError:
        return
    plain = as_slurm_reads(clustrix_slurm.render_script(job(), cluster()))
    more = [] if field == "name" else [f"--{field}={value}"]
    assert sorted(as_slurm_reads(script)) == sorted([*plain, *more])


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL)
def test_no_label_gets_out_of_its_line(label: str) -> None:
    options = as_slurm_reads(clustrix_slurm.render_script(job(label=label), cluster()))
    plain = as_slurm_reads(clustrix_slurm.render_script(job(), cluster()))
    assert options[1:] == plain[1:] and options[0].startswith("--job-name=")


@settings(max_examples=200, deadline=None)
@given(st.text() | EVIL.map(lambda text: f"--comment={text}"))
def test_a_raw_directive_stays_on_its_line_or_is_refused(line: str) -> None:
    try:
        script = clustrix_slurm.render_script(job(Resources(directives=(line,))), cluster())
    except ConfigError:
        return
    assert script.split("\n").count(f"#SBATCH {line}") == 1
    head = len(clustrix_slurm.render_script(job(), cluster()).split("\n"))
    assert len(script.split("\n")) == head + 1


@pytest.mark.parametrize("bad", ["mail-type=END", "#SBATCH --mail-type=END", " --mail-type=END", "\n--mail-type=END"])
def test_a_raw_directive_that_is_no_option_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="directives"):
        clustrix_slurm.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize(
    "bad",
    ["--job-name=x", "-J x", "-Jx", "--array=0-3", "-a 0-3", "--output=/dev/null", "-o x", "--chdir=/tmp", "-D /tmp",
     "--wait", "-W", "--wrap=id", "--test-only", "--clusters=other", "-M other", "--mail-type=END --job-name=x",
     "--error=x", "-e x", "--open-mode=truncate", "--uid=0", "--gid=0", "--array 0-3", "-a"],
)  # fmt: skip
def test_a_raw_directive_that_would_lose_the_job_is_refused(bad: str) -> None:
    refused(bad)


@pytest.mark.parametrize(
    "bad",
    ["--arr=0-3", "--ar 0-3", "--j=x", "--wai", "--cl=x", "--err x", "--", "-Ha0-3", "-HW", "-sHJ x", "-H -a0-3",
     '-"J x"', '-n1 "--array=0-3"', "--a'rr'ay=0-3", '--comment="a b" "-a" 0-3', "-n1 # --array=0-3"],
)  # fmt: skip
def test_no_way_of_writing_an_option_gets_by(bad: str) -> None:
    """sbatch takes options by any beginning of their names, in bundles, and with quotes anywhere."""
    refused(bad)


def refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="keep Clustrix from finding the job"):
        clustrix_slurm.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize(
    "bad", ["'--array=0-3'", "-n1 '\\'' --array=0-3 ''", '"\\--array=0-3"', "\\--array=0-3", "--comment='open", '-n1 "']
)
def test_a_raw_directive_that_sbatch_reads_unlike_shells_is_refused(bad: str) -> None:
    """To sbatch a backslash always escapes, also between single quotes."""
    with pytest.raises(ConfigError, match=r"directives: .*(backslash|quotation|not an option)"):
        clustrix_slurm.render_script(job(Resources(directives=(bad,))), cluster())


@pytest.mark.parametrize(
    "good",
    ["--mail-type=END", "-H", "--dependency=afterok:17", "--licenses=matlab:1", "--x11", "-C a", "--export=NONE",
     "-pWaDe", "-HpWaDe", "--wait-all-nodes=1", "--comment='two words, --array=0-3'", "--exclusive=user",
     "--deadline=now+1hour", "-x n1", "--signal=B:USR1@60", "--begin=16:00", "--input=x", "--cluster-constraint=a"],
)  # fmt: skip
def test_other_raw_directives_pass(good: str) -> None:
    assert f"#SBATCH {good}\n" in clustrix_slurm.render_script(job(Resources(directives=(good,))), cluster())


@pytest.mark.parametrize("line", ["--dependency=singleton", "--depend singleton", "-d afterok:1", "-Hd afterok:1"])
def test_a_dependency_of_the_user_is_not_lost(line: str) -> None:
    asked = Resources(directives=(line,))
    assert f"#SBATCH {line}\n" in clustrix_slurm.render_script(job(asked), cluster())
    with pytest.raises(ConfigError, match="Slurm keeps only one of the two"):
        clustrix_slurm.render_script(job(asked, after={"aa": ""}), cluster())
    clustrix_slurm.render_script(job(Resources(directives=("--deadline=now+1hour",)), after={"aa": ""}), cluster())
