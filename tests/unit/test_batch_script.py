"""The script that a scheduler gets: run for real, whatever is written into its fields."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clustrix_core import batch, bundle
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec
from clustrix_core.resources import Resources
from tests.unit.schedulers import JOB, cluster, job, toy

SHELLS = ("/bin/sh", "/bin/bash")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PWNED = "$(touch pwned) `touch pwned`; touch pwned\ntouch pwned\n' ; touch pwned; '\" && touch pwned"

# The stub in the place of Python notes its arguments and its environment, and ends as it was told to.
STUB = """#!/bin/sh
printf '%s\\0' "$@" >{house}/argv
/usr/bin/env -0 >{house}/env
umask >{house}/umask
pwd >{house}/cwd
exit $(/bin/cat {house}/code)
"""


class House:
    """A work_dir with a job directory, and a stub in the place of Python."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.work_dir = tmp_path / 'it\'s a "work dir" ☃ $(id)'
        self.directory = self.work_dir / job().dir
        self.directory.mkdir(parents=True)
        self.stub = tmp_path / "stub"
        self.stub.write_text(STUB.format(house=shlex.quote(str(tmp_path))))
        self.stub.chmod(0o755)
        (tmp_path / "code").write_text("0")

    def cluster(self, **changes: Any) -> Cluster:
        return cluster(self.work_dir, **{"site": False, "python": shlex.quote(str(self.stub)), **changes})

    def render(self, job: JobSpec, shell: str = "/bin/sh", **changes: Any) -> str:
        return batch.render(toy(shell=shell), job, self.cluster(**changes))

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        """Run a script as a scheduler does: by its first line, with its variables, somewhere."""
        (self.path / "script").write_text(script)
        argv = [script.splitlines()[0].removeprefix("#!"), str(self.path / "script")]
        plain = {"PATH": os.environ["PATH"], "HOME": str(self.path), "TOY_DIR": str(self.directory), "TOY_ID": "17"}
        return subprocess.run(argv, env={**plain, **env}, cwd="/", capture_output=True, timeout=60)

    @property
    def argv(self) -> list[str]:
        return (self.path / "argv").read_text().split("\0")[:-1]

    @property
    def env(self) -> Mapping[str, str]:
        pairs = (self.path / "env").read_bytes().decode().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)

    def marker(self, name: str = "status-0.0") -> str:
        return (self.directory / name).read_text()

    def assert_not_pwned(self) -> None:
        assert list(self.path.rglob("pwned")) == [] and not Path("/pwned").exists()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def is_valid(script: str, shells: tuple[str, ...] = SHELLS) -> None:
    for shell in shells:
        done = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b""), script


@pytest.mark.parametrize("shell", SHELLS)
def test_the_worker_is_started_in_the_job_directory(house: House, shell: str) -> None:
    done = house.run(house.render(job(), shell))
    assert (done.returncode, done.stderr) == (0, b"")
    assert house.argv == [str(house.work_dir / "worker" / bundle.digest()), "run", "0", "0"]
    assert (house.path / "cwd").read_text().strip() == str(house.directory)
    assert house.env["CLUSTRIX_JOB"] == JOB and house.env["CLUSTRIX_TASK"] == "0"
    assert house.env["CLUSTRIX_SCHEDULER_ID"] == "17"
    assert abs(float(house.env["CLUSTRIX_STARTED"]) - time.time()) < 30
    assert house.marker() == "EXIT 0\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_runs_in_its_environment(house: House, shell: str) -> None:
    programs = house.work_dir / "envs/0123456789abcdef/env/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(house.stub)
    done = house.run(house.render(job(environment="0123456789abcdef"), shell, python="/no/such/python"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert house.argv == [str(house.work_dir / "worker" / bundle.digest()), "run", "0", "0"]
    assert house.env["PATH"].startswith(f"{programs}:")


def test_a_task_of_an_array_knows_which_it_is(house: House) -> None:
    house.run(house.render(job(tasks=30, round=2)), TOY_TASK="12")
    assert house.argv[1:] == ["run", "2", "12"] and house.marker("status-2.12") == "EXIT 0\n"


def test_a_single_job_submitted_from_inside_an_array_is_no_task_of_it(house: House) -> None:
    house.run(house.render(job()), TOY_TASK="12")
    assert house.argv[1:] == ["run", "0", "0"] and house.env["CLUSTRIX_TASK"] == "0"


def test_rendering_is_pure(house: House) -> None:
    asked = job(resources=Resources(env={"A": "1", "B": "2"}, modules=("gcc",), setup=("true",)), tasks=3)
    before = sorted(house.path.rglob("*"))
    assert house.render(asked) == house.render(asked)
    assert sorted(house.path.rglob("*")) == before


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("code", [0, 1, 3, 137, 255])
def test_the_exit_code_of_the_worker_is_that_of_the_job(house: House, shell: str, code: int) -> None:
    (house.path / "code").write_text(str(code))
    assert house.run(house.render(job(resources=Resources(teardown=("false",))), shell)).returncode == code
    assert house.marker() == f"EXIT {code}\n"
    assert [path.name for path in house.directory.iterdir()] == ["status-0.0"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_setup_line_that_fails_ends_the_job(house: House, shell: str) -> None:
    asked = job(resources=Resources(setup=("true", "(exit 7)", "touch pwned")))
    assert house.run(house.render(asked, shell)).returncode == 7
    assert house.marker() == "EXIT 7\n" and not (house.path / "argv").exists()
    house.assert_not_pwned()


def test_setup_reaches_the_worker_and_teardown_comes_after(house: House) -> None:
    lines = {"setup": ("export FROM_SETUP='a b'", "cd /"), "teardown": ("test -f argv && echo late >late", "cd /")}
    house.run(house.render(job(resources=Resources(**lines))))
    assert house.env["FROM_SETUP"] == "a b"
    assert (house.path / "cwd").read_text().strip() == str(house.directory)  # whereto setup went is its own affair
    assert house.marker() == "EXIT 0\n"


def test_teardown_runs_also_when_the_worker_failed(house: House) -> None:
    (house.path / "code").write_text("3")
    asked = job(resources=Resources(teardown=(f"echo down >{shlex.quote(str(house.path / 'down'))}",)))
    assert house.run(house.render(asked)).returncode == 3
    assert (house.path / "down").read_text() == "down\n"


def test_an_earlier_marker_is_gone_when_a_requeued_job_starts(house: House) -> None:
    (house.directory / "status-0.0").write_text("EXIT 143\n")
    asked = job(resources=Resources(setup=("ls >listing",)))
    house.run(house.render(asked))
    assert (house.directory / "listing").read_text() == "listing\n" and house.marker() == "EXIT 0\n"


def test_a_python_that_is_not_there_leaves_its_marker(house: House) -> None:
    assert house.run(house.render(job(), python="/nowhere/python3")).returncode == 127
    assert house.marker() == "EXIT 127\n"


def test_a_directory_that_is_not_there_is_an_exit_code_of_its_own(house: House) -> None:
    assert house.run(house.render(job()), TOY_DIR=str(house.path / "nowhere")).returncode == 72


def test_the_marker_is_written_when_the_job_is_told_to_end(house: House) -> None:
    (house.path / "script").write_text(house.render(job(), python="sleep 60 #"))
    house.stub.write_text("#!/bin/sh\ntrap 'exit 143' TERM\ntouch started\nsleep 60 & wait $!\n")
    (house.path / "script").write_text(house.render(job()))
    env = {"PATH": os.environ["PATH"], "TOY_DIR": str(house.directory), "TOY_ID": "17"}
    process = subprocess.Popen(["/bin/sh", str(house.path / "script")], env=env, start_new_session=True)
    deadline = time.monotonic() + 20
    while not (house.directory / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == 143
    assert house.marker() == "EXIT 143\n"


def test_files_of_the_function_get_the_users_own_modes(house: House) -> None:
    asked = job(resources=Resources(setup=("touch data",)))
    old = os.umask(0o027)
    try:
        house.run(house.render(asked))
    finally:
        os.umask(old)
    assert stat.S_IMODE((house.directory / "data").stat().st_mode) == 0o640
    assert (house.path / "umask").read_text().strip() == "0027"


# -- strings

KEPT = [
    *("PWD", "OLDPWD", "UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "OPTIND", "RANDOM", "_", "GROUPS", "LINENO"),
    *("CLUSTRIX_JOB", "CLUSTRIX_TASK", "CLUSTRIX_SCHEDULER_ID", "CLUSTRIX_STARTED", "clustrix_here"),
]
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(lambda name: name not in (*KEPT, "IFS"))
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.just(PWNED)
# Setting these changes what programs do that the stub starts; they arrive all the same.
TRICKY = ["PATH", "ENV", "BASH_ENV", "POSIXLY_CORRECT", "here", "task", "code", "status", "SHELL", "PS4", "PWD_"]


@QUICK
@given(env=st.dictionaries(NAMES, VALUES, max_size=4), shell=st.sampled_from(SHELLS))
def test_env_arrives_as_written_and_nothing_is_executed(house: House, env: dict[str, str], shell: str) -> None:
    script = house.render(job(resources=Resources(env=env)), shell)
    is_valid(script)
    done = house.run(script)
    assert done.returncode == 0, done.stderr
    assert {name: house.env.get(name) for name in env} == env
    assert house.marker() == "EXIT 0\n"
    house.assert_not_pwned()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", TRICKY)
@pytest.mark.parametrize("value", [PWNED, "/nowhere", ""], ids=["pwned", "path", "empty"])
def test_variables_that_shells_use_arrive_too(house: House, name: str, value: str, shell: str) -> None:
    done = house.run(house.render(job(resources=Resources(env={name: value})), shell))
    assert (done.returncode, house.env[name], house.marker()) == (0, value, "EXIT 0\n"), done.stderr
    house.assert_not_pwned()


@pytest.mark.parametrize("value", ["/", "a e i o u", ""])
def test_other_field_separators_do_not_cut_the_script_short(house: House, value: str) -> None:
    """The stub is a shell, and shells begin with separators of their own: that it arrives cannot be seen here."""
    assert house.run(house.render(job(resources=Resources(env={"IFS": value})))).returncode == 0
    assert house.argv == [str(house.work_dir / "worker" / bundle.digest()), "run", "0", "0"]
    assert house.marker() == "EXIT 0\n"


@pytest.mark.parametrize("name", KEPT)
def test_variables_that_shells_keep_for_themselves_are_refused(house: House, name: str) -> None:
    with pytest.raises(ConfigError, match=f"env: {name} cannot be set"):
        house.render(job(resources=Resources(env={name: "1"})))


def test_settings_of_clustrix_itself_may_be_set_in_a_job(house: House) -> None:
    house.run(house.render(job(resources=Resources(env={"CLUSTRIX_CONFIG": "/shared/clustrix.yml"}))))
    assert house.env["CLUSTRIX_CONFIG"] == "/shared/clustrix.yml"


@QUICK
@given(label=st.text(), name=st.text(), partition=st.text(), directive=st.text() | st.just(PWNED), env=VALUES)
def test_every_script_is_valid_whatever_its_fields_hold(
    house: House, label: str, name: str, partition: str, directive: str, env: str
) -> None:
    """Fields are refused where they are made (Resources) or arrive; a script that would run them is never rendered."""
    fields: dict[str, Any] = {"env": {"X": env}}
    for field, value in (
        ("name", name),
        ("partition", partition),
        ("account", partition),
        ("directives", (directive,)),
    ):
        try:
            Resources(**{field: value})
        except ConfigError:
            continue
        fields[field] = value
    asked = job(label=label, resources=Resources(**fields))
    dialect = toy(directives=lambda job, cluster: [f"#TOY {line}" for line in (job.name, *job.resources.directives)])
    script = batch.render(dialect, asked, house.cluster())
    is_valid(script)
    house.run(script)
    house.assert_not_pwned()
    head = script.split("\n")[1:]
    assert [line.startswith("#TOY ") for line in head[: 1 + len(asked.resources.directives)]].count(False) == 0


@pytest.mark.parametrize(
    "evil", ["#TOY a\ntouch pwned", "#TOY a\rtouch pwned", "#TOY \x0b", "#TOY \u2028x", "#TOY \x85x"]
)
def test_a_directive_of_several_lines_is_refused(house: House, evil: str) -> None:
    with pytest.raises(ConfigError, match="one line of printable text"):
        batch.render(toy(directives=lambda job, cluster: [evil]), job(), house.cluster())


@pytest.mark.parametrize(
    ("python", "argv"),
    [
        ("{stub}", []),
        ("{stub} -X dev -W 'error::x y'", ["-X", "dev", "-W", "error::x y"]),
        ("{stub} '$(touch pwned)' ';touch' '>pwned'", ["$(touch pwned)", ";touch", ">pwned"]),
        ("~/stub", []),
    ],
)
def test_python_may_have_arguments_and_a_tilde(house: House, python: str, argv: list[str]) -> None:
    done = house.run(house.render(job(), python=python.format(stub=shlex.quote(str(house.stub)))))
    assert done.returncode == 0, done.stderr
    assert house.argv[:-4] == argv
    house.assert_not_pwned()


def test_a_python_with_an_open_quote_is_an_error_here(house: House) -> None:
    with pytest.raises(ConfigError, match="No closing quotation"):
        house.render(job(), python="python3 'x")


# -- modules

MODULE = """
module() {
    if [ "$1 $2" = "load bad" ]; then echo 'no such module' >&2; return 1; fi
    shift
    export LOADED="$LOADED $*"
}
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_modules_are_loaded_by_name(house: House, shell: str) -> None:
    asked = job(resources=Resources(modules=("gcc/12.2", "openmpi")))
    script = house.render(asked, shell).replace("clustrix_here=", MODULE + "clustrix_here=", 1)
    house.run(script)
    assert house.env["LOADED"] == " gcc/12.2 openmpi"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_module_that_is_not_there_ends_the_job(house: House, shell: str) -> None:
    script = house.render(job(resources=Resources(modules=("bad",))), shell)
    done = house.run(script.replace("clustrix_here=", MODULE + "clustrix_here=", 1))
    assert done.returncode == 1 and b"no such module" in done.stderr
    assert house.marker() == "EXIT 1\n" and not (house.path / "argv").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cluster_without_the_module_command_ends_the_job_and_says_so(house: House, shell: str) -> None:
    done = house.run(house.render(job(resources=Resources(modules=("gcc",))), shell))
    assert b"there is no module command" in done.stderr and done.stderr.count(b"\n") == 1
    assert house.marker() == "EXIT 127\n" and not (house.path / "argv").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_profile_that_fails_somewhere_does_not_end_the_job(house: House, shell: str) -> None:
    profile = house.path / "profile"
    profile.write_text(f"false\ngrep -q x /dev/null\n{MODULE}")
    script = house.render(job(resources=Resources(modules=("gcc",))), shell).replace(
        "/etc/profile", shlex.quote(str(profile))
    )
    house.run(script)
    assert house.env["LOADED"] == " gcc"


def test_a_script_that_writes_its_own_log_begins_with_it_and_goes_on_in_it(house: House) -> None:
    asked = job(tasks=30, resources=Resources(setup=("echo out", "echo err >&2")))
    script = batch.render(toy(shell="/bin/sh", own_log=True), asked, house.cluster())
    for _ in range(2):  # a requeued job goes on in the same log
        done = house.run(script, TOY_TASK="12")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (house.directory / "log-0.12").read_text() == "out\nerr\n" * 2


@pytest.mark.parametrize("where", ["setup", "teardown", "env"])
def test_a_line_that_the_scheduler_would_obey_anywhere_is_refused(house: House, where: str) -> None:
    line = "#TOY --wait"
    asked = {"setup": (line,), "teardown": ("true\n" + line,), "env": {"A": f"x\n{line}"}}[where]
    dialect, resources = toy(shell="/bin/sh", anywhere="#TOY"), Resources(**{where: asked})
    with pytest.raises(ConfigError, match=r"#TOY --wait.*would be a directive to toy"):
        batch.render(dialect, job(resources=resources), house.cluster())
    assert line in batch.render(toy(shell="/bin/sh"), job(resources=resources), house.cluster())
