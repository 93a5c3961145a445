"""First contact, staging and submitting: real shells and tar, a scheduler made of programs on PATH."""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import shutil
import stat
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import batch, bundle
from clustrix_core.batch.submit import NO_ENVIRONMENT, _tar
from clustrix_core.errors import ConfigError, StagingError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobSpec, Problem, Site
from clustrix_core.resources import Resources
from clustrix_core.transport import Completed, Transport
from clustrix_core.transport.counting import Counting
from tests.unit.schedulers import JOB, Scheduler, cluster, job, toy, toys

__all__ = ["toys"]
ODD = 'it\'s a "work dir" ☃ $(id) `id`; *'
PYTHON = re.sub(r"([^\w/.-])", r"\\\1", sys.executable)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / ODD


def sent(tmp_path: Path, **files: bytes) -> dict[str, Path]:
    """Files of the client to be staged."""
    house = tmp_path / "outbox"
    house.mkdir(exist_ok=True)
    for name, content in files.items():
        (house / name).write_bytes(content)
    return {name: house / name for name in files}


def runs(cluster: Cluster) -> int:
    assert isinstance(cluster.transport, Counting)
    return cluster.transport.runs


# -- first contact


def test_the_first_contact_is_one_exec_and_leaves_a_worker(toys: Scheduler, work_dir: Path) -> None:
    new = cluster(work_dir, site=False, python=PYTHON)
    site = batch.provision(toy(), new).site
    assert site is not None and runs(new) == 1
    assert (site.work_dir, site.python, site.user) == (
        str(work_dir),
        sys.version_info[:2],
        pwd.getpwuid(os.geteuid()).pw_name,
    )
    assert abs(site.seen - time.time()) < 60
    assert stat.S_IMODE(work_dir.stat().st_mode) == 0o700
    worker = work_dir / "worker" / bundle.digest()
    assert {path.relative_to(worker).as_posix() for path in worker.rglob("*.py")} >= set(bundle.files())
    assert all((worker / name).read_bytes() == content for name, content in bundle.files().items())
    assert (worker / "__main__.py").stat().st_mtime > time.time() - 600  # or a purge takes it tonight


def test_the_second_contact_keeps_what_is_there(toys: Scheduler, work_dir: Path) -> None:
    new = cluster(work_dir, site=False, python=PYTHON)
    batch.provision(toy(), new)
    mine = work_dir / "worker" / bundle.digest() / "mine"
    mine.touch()
    first, again = batch.provision(toy(), new).site, batch.provision(toy(), new).site
    assert first and again and mine.exists()
    assert (first.work_dir, first.python) == (again.work_dir, again.python)
    assert [path.name for path in (work_dir / "worker").iterdir()] == [bundle.digest()]


def test_a_worker_whose_files_were_purged_is_put_there_again(toys: Scheduler, work_dir: Path) -> None:
    new = cluster(work_dir, site=False, python=PYTHON)
    batch.provision(toy(), new)
    worker = work_dir / "worker" / bundle.digest()
    # What is read at every start is still there, as is what Python has compiled.
    for path in [*worker.rglob("clustrix_core/**/*.py"), worker / "complete"]:
        path.unlink()
    with pytest.raises(StagingError, match="the worker is gone") as raised:
        submit(job(), new.at(Site(str(work_dir), (3, 11))))
    assert raised.value.transient
    batch.provision(toy(), new)
    assert all((worker / name).read_bytes() == content for name, content in bundle.files().items())
    assert [path.name for path in (work_dir / "worker").iterdir()] == [bundle.digest()]


def test_first_contacts_at_once_all_find_a_worker(toys: Scheduler, work_dir: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        sites = list(pool.map(lambda _: batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON)), range(6)))
    assert len({found.site and found.site.work_dir for found in sites}) == 1
    worker = work_dir / "worker" / bundle.digest()
    assert all((worker / name).read_bytes() == content for name, content in bundle.files().items())


@pytest.mark.parametrize(("written", "place"), [("~", ""), ("~/", ""), ("~/deep er/it's", "deep er/it's")])
def test_a_tilde_is_the_home_over_there(toys: Scheduler, tmp_path: Path, written: str, place: str) -> None:
    site = batch.provision(toy(), cluster(written, site=False, python=PYTHON)).site
    assert site is not None and Path(site.work_dir) == tmp_path / "home" / place


@pytest.mark.parametrize("name", ["trailing space ", "line\u2028separator", "tab\there", "-rf", "a|b&c"])
def test_odd_directories_keep_their_names(toys: Scheduler, tmp_path: Path, name: str) -> None:
    site = batch.provision(toy(), cluster(tmp_path / name, site=False, python=PYTHON)).site
    assert site is not None and site.work_dir == str(tmp_path / name) and Path(site.work_dir).is_dir()


def test_a_link_is_followed_once_and_for_all(toys: Scheduler, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scratch")
    site = batch.provision(toy(), cluster(tmp_path / "link", site=False, python=PYTHON)).site
    assert site is not None and site.work_dir == str((tmp_path / "scratch").resolve())


def foreign(tmp_path: Path) -> Path:
    """A directory of somebody else."""
    if os.geteuid() != 0:
        return Path("/usr")
    made = tmp_path / "theirs"
    made.mkdir()
    os.chown(made, 65534, 65534)
    return made


def test_a_work_dir_of_somebody_else_is_refused(toys: Scheduler, tmp_path: Path) -> None:
    theirs = foreign(tmp_path)
    before = theirs.stat()
    with pytest.raises(StagingError, match=r"belongs to somebody else: it belongs to (nobody|root)") as raised:
        batch.provision(toy(), cluster(theirs, site=False))
    assert "Set work_dir to a directory of yours" in str(raised.value) and not raised.value.transient
    assert (theirs.stat().st_mode, theirs.stat().st_uid) == (before.st_mode, before.st_uid)


@pytest.mark.parametrize("place", ["/proc/clustrix", "{file}/clustrix", "/dev/null"])
def test_a_work_dir_that_cannot_be_made_says_so(toys: Scheduler, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    where = place.format(file=tmp_path / "file")
    with pytest.raises(StagingError, match="cannot be used") as raised:
        batch.provision(toy(), cluster(where, site=False))
    assert where in str(raised.value)


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """Let no process write a file longer than this, as a full disk would."""
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_no_room_for_the_worker_is_an_error(toys: Scheduler, work_dir: Path) -> None:
    with little_room(100), pytest.raises(StagingError, match="cannot be used"):
        batch.provision(toy(), cluster(work_dir, site=False))
    assert list((work_dir / "worker").iterdir()) == []
    assert batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON)).site is not None


@pytest.mark.parametrize("python", ["/nowhere/python3", "false", "echo", "echo Python three"])
def test_no_python_is_an_error_that_names_it(toys: Scheduler, work_dir: Path, python: str) -> None:
    with pytest.raises(ConfigError, match=f"no Python answers to '{python}'") as raised:
        batch.provision(toy(), cluster(work_dir, site=False, python=python))
    assert "Set python:" in str(raised.value)


MODULES = Resources(modules=("python/3.11", "gcc"))


def test_a_cluster_without_the_module_command_says_so(toys: Scheduler, work_dir: Path) -> None:
    with pytest.raises(ConfigError, match="there is no module command") as raised:
        batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON, resources=MODULES))
    assert "no Python" not in str(raised.value) and "modules:" in str(raised.value.hint)


def test_modules_that_cannot_be_loaded_are_an_error_whatever_python_there_is(toys: Scheduler, work_dir: Path) -> None:
    module = toys.bin / "module"
    module.write_text('#!/bin/sh\n[ "$3" = gcc ] && echo Unable to locate a modulefile for $2 >&2; exit 1\n')
    module.chmod(0o755)
    with pytest.raises(ConfigError, match=r"modules: module load python/3\.11 gcc fails") as raised:
        batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON, resources=MODULES))
    assert "Unable to locate a modulefile for python/3.11" in str(raised.value)
    assert "no Python" not in str(raised.value) and "modules:" in str(raised.value.hint)


def test_talkative_modules_do_not_hide_python(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    loud = tmp_path / "loud"
    loud.write_text(f'#!/bin/sh\necho "Loading gcc/12"; echo "Python 2 7 is deprecated" >&2; exec {PYTHON} "$@"\n')
    loud.chmod(0o755)
    site = batch.provision(toy(), cluster(work_dir, site=False, python=str(loud))).site
    assert site is not None and site.python == sys.version_info[:2]


def test_the_probe_fills_the_site_in(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toyq", out="17 slots\n", err="and a warning\n", rc=3)
    dialect = toy(
        probe=lambda cluster: ["toyq --slots; false", "echo beside"],
        read_probe=lambda text, site, cluster: dataclasses.replace(site, scheduler=repr(sorted(text.splitlines()))),
    )
    site = batch.provision(dialect, cluster(work_dir, site=False, python=PYTHON)).site
    assert site is not None and site.scheduler == "['17 slots', 'and a warning', 'beside']"
    assert not list(work_dir.glob(".said*"))


def test_doctor_passes_on_what_the_scheduler_says(toys: Scheduler, work_dir: Path) -> None:
    seen: list[str] = []
    dialect = toy(
        probe=lambda cluster: ["pwd"],
        check=lambda cluster, site, text: seen.append(text) or [Problem("warning", "full moon")],
    )
    found = batch.check(dialect, cluster(work_dir, site=False, python=PYTHON))
    assert found == [Problem("warning", "full moon")] and seen == [f"{work_dir}\n"]


def test_doctor_reports_a_contact_that_fails(toys: Scheduler, tmp_path: Path) -> None:
    (problem,) = batch.check(toy(), cluster(foreign(tmp_path), site=False))
    assert problem.severity == "error" and "belongs to somebody else" in problem.message
    assert "Set work_dir" in problem.hint


@pytest.mark.parametrize(("minor", "severity"), [(5, "error"), (6, "warning"), (99, "warning")])
def test_doctor_reports_another_python(
    toys: Scheduler, work_dir: Path, tmp_path: Path, minor: int, severity: str
) -> None:
    old = tmp_path / "old"
    old.write_text(f"#!/bin/sh\necho Python 3 {minor}\n")
    old.chmod(0o755)
    (problem,) = batch.check(toy(), cluster(work_dir, site=False, python=str(old)))
    assert problem.severity == severity and f"Python 3.{minor} on the cluster" in problem.message


# -- submitting


_LEFT = (("submission", ""), ("answer", ""), ("answer", ".err"))


def submit(spec: JobSpec, cluster: Cluster, script: str = "#!/bin/sh\n") -> str:
    return batch.submit(toy(), spec, script, cluster).native


def test_files_and_job_are_one_exec(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    toys.answer("toysub", out="Welcome\n4711\n")
    files = {"payload": os.urandom(5000), "spec.json": b"{}", "key": b"k" * 64, "empty": b"", "block": b"x" * 512}
    here = cluster(work_dir)
    handle = batch.submit(toy(), job(files=sent(tmp_path, **files), tasks=3), "#!/bin/sh\necho ☃\n", here)
    assert (handle.job, handle.name, handle.native, handle.tasks, handle.round) == (JOB, job().name, "4711", 3, 0)
    assert abs(handle.submitted - time.time()) < 60 and runs(here) == 1
    directory = work_dir / job().dir
    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()} == {
        **files,
        "job-0.sh": "#!/bin/sh\necho ☃\n".encode(),
        "submission-0.0": (directory / "submission-0.0").read_bytes(),
        "answer-0.0": b"0\nWelcome\n4711\n",
        "answer-0.0.err": b"",
    }
    assert (directory / "claims-0").is_dir()
    assert re.fullmatch(rf"sent \d+ {os.uname().nodename}\n", (directory / "submission-0.0").read_text())
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir() if path.is_file()} == {0o600}
    (call,) = toys.calls
    assert (call.argv, call.cwd) == (("toysub", "job-0.sh"), str(directory))


def test_nothing_grows_on_the_command_line(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    toys.answer("toysub", out="1\n")
    here, sizes = cluster(work_dir), (10, 3_000_000)
    for number, size in enumerate(sizes):
        submit(job(submission=number, files=sent(tmp_path, payload=b"x" * size)), here)
        assert (work_dir / job().dir / "payload").stat().st_size == size
    assert isinstance(here.transport, Counting)
    assert max(len(command) for command in here.transport.commands) < 4000


def test_the_users_umask_is_handed_on_to_the_scheduler(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="1\n")
    program = toys.bin / "toysub"
    program.write_text(program.read_text().replace("#!/bin/sh\n", '#!/bin/sh\numask >"$HOME/umask"\n', 1))
    old = os.umask(0o027)
    try:
        submit(job(), cluster(work_dir))
    finally:
        os.umask(old)
    assert (Path(os.environ["HOME"]) / "umask").read_text().strip() == "0027"
    assert stat.S_IMODE((work_dir / job().dir).stat().st_mode) == 0o700


def test_a_follow_up_round_keeps_what_is_there(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    toys.answer("toysub", out="1\n")
    here = cluster(work_dir)
    submit(job(files=sent(tmp_path, payload=b"data")), here)
    (work_dir / job().dir / "results-0.0.0.0").write_bytes(b"kept")
    handle = batch.submit(toy(), job(round=1, files=sent(tmp_path, **{"todo-1": b"[3]"})), "#!/bin/sh\n", here)
    names = {path.name for path in (work_dir / job().dir).iterdir()}
    answers = {f"{name}-{round}.0{end}" for round in (0, 1) for name, end in _LEFT}
    assert names - answers == {"payload", "job-0.sh", "job-1.sh", "claims-0", "claims-1", "results-0.0.0.0", "todo-1"}
    assert (handle.round, toys.calls[-1].argv) == (1, ("toysub", "job-1.sh"))


def test_submitting_again_is_harmless(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    toys.answer("toysub", out="1\n")
    here = cluster(work_dir)
    for number, content in enumerate((b"longer at first", b"second")):
        submit(job(submission=number, files=sent(tmp_path, payload=content)), here)
    assert (work_dir / job().dir / "payload").read_bytes() == b"second"


@pytest.mark.parametrize("rc", [1, 2, 255])
def test_a_refusal_comes_in_the_schedulers_own_words(toys: Scheduler, work_dir: Path, rc: int) -> None:
    toys.answer("toysub", err="toysub: error: invalid partition specified: shrot\n", rc=rc)
    with pytest.raises(SubmitRejected, match="toysub: error: invalid partition specified: shrot"):
        submit(job(), cluster(work_dir))


def test_a_refusal_on_stdout_or_in_silence_is_one_too(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="No resources\n", rc=1)
    here = cluster(work_dir)
    with pytest.raises(SubmitRejected, match="No resources"):
        submit(job(), here)
    toys.answer("toysub", rc=1)
    with pytest.raises(SubmitRejected, match="no reason given"):
        submit(job(submission=1), here)


def test_one_submission_is_made_once(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="1\n")
    here = cluster(work_dir)
    submit(job(), here)
    with pytest.raises(TransportError, match="given up") as raised:
        submit(job(), here)
    assert raised.value.transient and toys.names == ["toysub"]


@pytest.mark.parametrize(
    ("err", "rc"), [("slurm: Socket timed out on send/recv\n", 1), ("", 137), ("", 143), ("", 130)]
)
def test_where_the_job_may_have_been_accepted_it_is_no_refusal(
    toys: Scheduler, work_dir: Path, err: str, rc: int
) -> None:
    toys.answer("toysub", err=err, rc=rc)
    with pytest.raises(TransportError, match="may have been accepted") as raised:
        submit(job(), cluster(work_dir))
    assert raised.value.transient


def test_a_host_without_the_scheduler_says_so(toys: Scheduler, work_dir: Path) -> None:
    toys.remove("toysub")
    with pytest.raises(SubmitRejected, match="toy is not there") as raised:
        submit(job(), cluster(work_dir))
    assert "login node" in str(raised.value)


def test_a_worker_that_is_gone_is_worth_another_try(toys: Scheduler, work_dir: Path) -> None:
    here = cluster(work_dir)
    for gone in (work_dir / "worker" / bundle.digest() / "complete", work_dir / "worker", work_dir):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        with pytest.raises(StagingError, match="the worker is gone") as raised:
            submit(job(), here)
        assert raised.value.transient and toys.calls == []


def test_no_room_for_the_files_is_an_error_and_nothing_is_submitted(
    toys: Scheduler, work_dir: Path, tmp_path: Path
) -> None:
    here = cluster(work_dir)
    files = sent(tmp_path, payload=b"x" * 500_000)
    with little_room(100_000), pytest.raises(StagingError, match="could not be put into") as raised:
        submit(job(files=files), here)
    assert "is there room left" in str(raised.value) and toys.calls == []


def test_a_work_dir_that_has_become_somebody_elses_is_refused(toys: Scheduler, tmp_path: Path) -> None:
    theirs = foreign(tmp_path)
    with pytest.raises(StagingError, match="belongs to somebody else"):
        submit(job(), cluster("unused", site=False).at(Site(str(theirs), (3, 11))))
    assert toys.calls == []


def test_a_work_dir_that_others_have_got_into_is_refused(toys: Scheduler, work_dir: Path) -> None:
    here = cluster(work_dir)
    work_dir.chmod(0o730)
    with pytest.raises(StagingError, match="others can write to it"):
        submit(job(), here)
    assert toys.calls == []


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    files = sent(tmp_path, payload=b"x" * 3000)

    def stream() -> Iterator[bytes]:
        for number, part in enumerate(_tar(job(files=files), "#!", {})):
            if number == 0:
                os.truncate(files["payload"], 10)
            yield part

    with pytest.raises(StagingError, match="changed while it was being sent"):
        list(stream())


def test_the_tar_is_one_that_tar_reads(tmp_path: Path) -> None:
    files = {"payload": os.urandom(2_500_000), "empty": b"", "block": b"x" * 1024, "key": b"k"}
    parts = list(_tar(job(files=sent(tmp_path, **files)), "#!/bin/sh\n☃\n", {}))
    assert max(map(len, parts)) <= 1 << 20
    (tmp_path / "it.tar").write_bytes(b"".join(parts))
    with tarfile.open(tmp_path / "it.tar") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    assert found == {**files, "job-0.sh": "#!/bin/sh\n☃\n".encode()}


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_large_files_are_linked_where_they_are_already_here(
    toys: Scheduler, work_dir: Path, tmp_path: Path, size: int
) -> None:
    toys.answer("toysub", out="1\n")
    here = cluster(work_dir)
    assert isinstance(here.transport, Counting)
    submit(job(files=sent(tmp_path, payload=b"x" * size)), here)
    assert (work_dir / job().dir / "payload").read_bytes() == b"x" * size
    assert here.transport.sent < 20_000


def test_a_script_of_a_long_setup_is_sent_whole(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", out="1\n")
    here = cluster(work_dir)
    asked = job(resources=Resources(setup=tuple(f": {'x' * 1000} {n}" for n in range(500))))
    script = batch.render(toy(), asked, here)
    submit(asked, here, script)
    assert (work_dir / job().dir / "job-0.sh").read_text() == script and len(script) > 500_000


class _Cut:
    """A transport whose stdin ends after some bytes, as that of a client that dies does."""

    here = False

    def __init__(self, transport: Transport, length: int) -> None:
        self.transport, self.length = transport, length

    def run(self, command: str, stdin: Iterable[bytes] = (), **more: Any) -> Completed:
        return self.transport.run(command, [b"".join(stdin)[: self.length]], **more)

    def close(self) -> None:
        self.transport.close()


def test_a_stream_that_is_cut_anywhere_submits_nothing(toys: Scheduler, work_dir: Path, tmp_path: Path) -> None:
    there = batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON))
    toys.answer("toysub", out="1\n")
    asked = job(files=sent(tmp_path, payload=b"x" * 700, key=b"k"))
    whole = b"".join(_tar(asked, "#!/bin/sh\n", {}))
    for length in range(0, len(whole) - 2 * tarfile.BLOCKSIZE - 512 + 1, 256):
        cut = dataclasses.replace(there, transport=_Cut(there.transport, length))
        with pytest.raises(StagingError):
            batch.submit(toy(), asked, "#!/bin/sh\n", cut)
    assert batch.submit(toy(), asked, "#!/bin/sh\n", there).native


def test_a_job_is_submitted_only_into_a_complete_environment(toys: Scheduler, work_dir: Path) -> None:
    toys.answer("toysub", "17\n")
    there = cluster(work_dir)
    wanted = job(environment="0123456789abcdef")
    with pytest.raises(StagingError, match="the environment is not on the cluster") as raised:
        submit(wanted, there)
    assert raised.value.returncode == NO_ENVIRONMENT and not raised.value.transient
    assert not (work_dir / wanted.dir).exists() and not toys.calls
    place = work_dir / "envs/0123456789abcdef"
    place.mkdir(parents=True)
    (place / "complete").touch()
    submit(wanted, there)
    assert (place / "used").exists() and len(toys.calls) == 1


def test_the_first_contact_tells_interpreters_apart(toys: Scheduler, work_dir: Path) -> None:
    site = batch.provision(toy(), cluster(work_dir, site=False, python=PYTHON)).site
    assert site is not None
    version, platform, path = site.interpreter.split(" ", 2)
    assert version == ".".join(map(str, sys.version_info[:3])) and platform == sysconfig.get_platform()
    assert path == sys.executable
