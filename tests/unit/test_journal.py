"""The journal: what is written is on disk, whoever else writes, and whoever dies."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import alive, errors, journal, mounts
from clustrix_core.entry import INTENT, OVER, REFUSED, SUBMITTED, Entry, error_data, error_from
from clustrix_core.errors import ClustrixError, ConfigError
from clustrix_core.journal import Journal
from clustrix_core.model import JobHandle, JobState, Node, Site

ROOT = Path(__file__).resolve().parents[2]


def entry(job: str, **changes: Any) -> Entry:
    fields = {
        "label": "simulate",
        "cluster": "hpc",
        "settings": {"host": "login"},
        "kind": "call",
        "spec": {"calls": 1},
    }
    return Entry(job, **{**fields, "owner": "me", **changes})


def handle(job: str, **changes: Any) -> JobHandle:
    return JobHandle(job, f"simulate-{job}", "4711", **changes)


HERE, OTHER = entry("00").place, {"host": "elsewhere"}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "home")
    yield made
    made.close()


def python(code: str, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)


def test_an_entry_comes_back_as_it_was_written(book: Journal) -> None:
    written = entry("00aa", label="naïve ☃", spec={"calls": 3, "todo": [1, 2]}, ends={"0": {"type": "JobLost"}})
    book.add(written)
    assert book.get("00aa") == written


def test_the_life_of_a_job(book: Journal) -> None:
    book.add(entry("00aa"))
    assert [kept.id for kept in book.intents()] == ["00aa"]
    book.shaped("00aa", {"calls": 1, "tasks": 4})
    book.submitted("00aa", handle("00aa", tasks=4))
    assert book.intents() == []
    book.changed("00aa", JobState.RUNNING, "Prolog")
    kept = book.get("00aa")
    assert (kept.phase, kept.handle, kept.spec["tasks"]) == (SUBMITTED, handle("00aa", tasks=4), 4)
    assert (kept.state, kept.reason, kept.finished) == ("RUNNING", "Prolog", None)
    kept.spec, kept.ends = {"round": 1}, {"0": {"type": "JobTimeout"}}
    book.again(kept, "other")
    kept = book.get("00aa")
    assert (kept.phase, kept.handle, kept.owner, kept.spec) == (INTENT, None, "other", {"round": 1})
    assert kept.ends == {"0": {"type": "JobTimeout"}}
    kept.phase, kept.state, kept.reason, kept.ends = OVER, "FAILED", "NonZeroExitCode", {"0": {"type": "JobFailed"}}
    book.end(kept, discard=False)
    again = book.get("00aa")
    assert (again.phase, again.state, again.reason, again.ends) == (OVER, "FAILED", "NonZeroExitCode", kept.ends)
    assert again.finished is not None and again.finished >= again.created
    book.forget("00aa")
    assert book.entries() == []


def test_the_latest_come_first_and_may_be_limited(book: Journal) -> None:
    for number, phase in enumerate([INTENT, SUBMITTED, OVER, REFUSED]):
        book.add(entry(f"0{number}", created=1000.0 + number, phase=phase))
    assert [kept.id for kept in book.entries()] == ["03", "02", "01", "00"]
    assert [kept.id for kept in book.entries(limit=2)] == ["03", "02"]
    assert [kept.id for kept in book.entries(only_open=True)] == ["01", "00"]


def test_ids_may_be_shortened_as_git_does(book: Journal) -> None:
    for job in ("0123ff", "0123fe", "0fff00", "f0"):
        book.add(entry(job))
    assert [book.get(short).id for short in ("0f", "0fff00", "f", "0123ff")] == ["0fff00", "0fff00", "f0", "0123ff"]
    with pytest.raises(ConfigError, match="'0123' is short for 0123fe, 0123ff") as raised:
        book.get("0123")
    assert "Give more" in str(raised.value)
    for unknown in ("aa", "0123ffa", "f00"):
        with pytest.raises(ConfigError, match=f"there is no job '{unknown}'"):
            book.get(unknown)
    for nonsense in ("", "%", "0*", "' or 1=1 --", "0123ff "):
        with pytest.raises(ConfigError, match="is not the id of a job"):
            book.get(nonsense)


def test_the_same_id_cannot_be_written_twice(book: Journal) -> None:
    book.add(entry("00aa"))
    with pytest.raises(sqlite3.IntegrityError):
        book.add(entry("00aa", label="other"))
    assert book.get("00aa").label == "simulate"
    book.add(entry("00ab"))  # the failed transaction is over


def test_an_intent_is_adopted_only_once(book: Journal) -> None:
    book.add(entry("00aa", owner="dead"))
    others = [Journal(book.home) for _ in range(4)]
    won: list[str] = []
    start = threading.Barrier(len(others))

    def adopt(book: Journal, name: str) -> None:
        start.wait()
        if book.adopt("00aa", "dead", name):
            won.append(name)

    threads = [threading.Thread(target=adopt, args=(other, f"n{n}")) for n, other in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert len(won) == 1 and book.get("00aa").owner == won[0]


def test_what_was_accepted_is_not_adopted(book: Journal) -> None:
    book.add(entry("00aa", owner="dead"))
    book.submitted("00aa", handle("00aa"))
    assert not book.adopt("00aa", "dead", "me")
    assert book.get("00aa").owner == "dead"


def test_only_what_may_go_is_garbage(book: Journal) -> None:
    for job in ("0a", "0b", "0c", "0d", "0e"):
        book.add(entry(job))
        book.submitted(job, handle(job, tasks=3))
    book.add(entry("0f", settings=OTHER))  # of the same name
    book.submitted("0f", handle("0f"))
    book.end(entry("0a", phase=OVER), discard=True)
    book.end(entry("0b", phase=OVER), discard=False)
    book.end(entry("0f", phase=OVER), discard=True)
    book.discard("0c")
    assert book.garbage(HERE) == [handle("0a", tasks=3, discard=True), handle("0c", tasks=3, discard=True)]
    book.removed(book.garbage(HERE))
    assert book.garbage(HERE) == []
    book.discard("0a")  # gone is gone
    assert book.garbage(HERE) == []
    assert [kept.job for kept in book.garbage(entry("0f", settings=OTHER).place)] == ["0f"]


def test_what_an_open_job_comes_after_stays(book: Journal) -> None:
    for job in ("0a", "0b", "0c"):
        book.add(entry(job))
        book.submitted(job, handle(job))
    book.end(entry("0a", phase=OVER), discard=True)
    late, after = (entry(job, spec={"calls": 1, "after": {"0a": "", "0b": "4711"}}) for job in ("0d", "0e"))
    assert not book.add(late)  # of the first everything may be gone
    assert [kept.id for kept in book.entries()] == ["0c", "0b", "0a"]
    after.spec["after"] = {"0b": "", "0c": ""}
    assert book.add(after)
    book.end(entry("0b", phase=OVER), discard=True)
    book.end(entry("0c", phase=OVER), discard=False)
    assert [kept.job for kept in book.garbage(HERE)] == ["0a"]
    assert [book.keeps(job) for job in ("0a", "0b", "0c", "0e", "ff")] == [False, False, True, True, False]
    book.end(entry("0e", phase=OVER), discard=True)
    assert [kept.job for kept in book.garbage(HERE)] == ["0a", "0b"]


def test_a_job_that_never_reached_the_cluster_left_nothing_there(book: Journal) -> None:
    book.add(entry("0a"))
    book.end(entry("0a", phase=REFUSED), discard=True)
    book.discard("0a")
    assert book.garbage(HERE) == []


def test_a_refused_follow_up_does_not_hide_what_the_first_round_left(book: Journal) -> None:
    book.add(entry("0a"))
    book.submitted("0a", handle("0a"))
    book.again(book.get("0a"), "me")
    book.end(entry("0a", phase=REFUSED), discard=True)
    assert [(kept.dir, kept.discard) for kept in book.garbage(HERE)] == [("jobs/0a/0a", True)]


def test_a_full_disk_keeps_no_job_from_being_watched(book: Journal) -> None:
    book.add(entry("0a"))
    (pages,) = book._db.rows("pragma page_count")[0]
    book._db.rows(f"pragma max_page_count = {pages}")  # what SQLite then says is what it says of a full disk
    with pytest.raises(sqlite3.OperationalError, match="full"):
        book.add(entry("0b", label="x" * 100_000))
    book.changed("0a", JobState.RUNNING, "x" * 100_000)
    assert book.get("0a").state == "PENDING"
    book._db.rows("pragma max_page_count = 1000000")
    book.changed("0a", JobState.RUNNING, "at last")
    assert book.get("0a").state == "RUNNING"


def test_what_was_learnt_of_a_cluster_is_remembered(book: Journal) -> None:
    site = Site("/scratch/ada ☃", (3, 11), "ada", (Node(8, 2**34), Node(4)), 1001, 3600, "Slurm 22.05", 17.5)
    assert book.site("hpc") is None
    book.remember("hpc", Site("/old", (3, 9)))
    book.remember("hpc", site)
    other = Journal(book.home)
    assert other.site("hpc") == site and other.site("desk") is None
    other.close()


@pytest.mark.parametrize(
    ("setting", "same"),
    [
        ({"host": "other"}, False),
        ({"port": 2222}, False),
        ({"user": "bob"}, False),
        ({"work_dir": "/scratch"}, False),
        ({"proxy_jump": "gate"}, False),
        ({"ssh_config": "/etc/other"}, False),
        ({"backend": "ssh"}, False),
        ({"key_file": "/k", "transport": "openssh", "resources": {"cores": 4}, "python": "python3.12"}, True),
    ],
)
def test_where_the_files_are(setting: dict[str, Any], same: bool) -> None:
    place = entry("00", settings={"backend": "slurm", "host": "login"}).place
    changed = entry("01", cluster="renamed", settings={"backend": "slurm", "host": "login", **setting}).place
    assert (place == changed) is same


def test_a_job_is_not_forgotten_before_its_files_are_removed(book: Journal) -> None:
    for job in ("0a", "0b"):
        book.add(entry(job))
        book.submitted(job, handle(job))
        book.end(entry(job, phase=OVER), discard=True)
    book.removed([handle("0a")])
    for job in ("0a", "0b"):
        book.forget(job)
    assert [kept.id for kept in book.entries()] == ["0b"]


def test_ten_thousand_old_jobs_are_not_looked_through(book: Journal) -> None:
    book.add(entry("f" * 16))
    book.submitted("f" * 16, handle("f" * 16))
    book.discard("f" * 16)
    book.add(entry("e" * 16))
    columns = [row["name"] for row in book._db.rows("pragma table_info(jobs)")]
    old = {"id": "printf('%016x', i)", "created": "i", "phase": "'over'", "on_cluster": "0"}
    with book._db.writing() as db:
        db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) insert into jobs select "
            + ", ".join(old.get(name, name) for name in columns)
            + " from n, jobs where id = ?",
            ("e" * 16,),
        )
    steps: list[int] = []  # of SQLite's machine, by the hundred: looking through all would be some hundreds of these
    book._db.connection().set_progress_handler(lambda: steps.append(1), 100)
    assert [kept.id for kept in book.intents()] == ["e" * 16]
    assert [kept.job for kept in book.garbage(HERE)] == ["f" * 16]
    assert [kept.id for kept in book.entries(only_open=True)] == ["e" * 16, "f" * 16]
    assert len(book.entries(only_open=True, cluster=entry("e").cluster)) == 2
    assert book.entries(only_open=True, cluster="elsewhere") == []
    assert len(book.entries(limit=20, cluster=entry("e").cluster)) == 20
    assert len(book.entries(limit=20)) == 20
    assert book.get("0000000000000f00").phase == OVER
    assert len(steps) < 50, len(steps)
    assert len(book.ids()) == 10_002 and book.entries(cluster="elsewhere") == []


WRITER = """
import sys
from pathlib import Path
from clustrix_core.entry import Entry
from clustrix_core.journal import Journal
from clustrix_core.model import JobState
home, first = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
book = Journal(home)
for number in range(first, first + 60):
    book.add(Entry(f"{number:016x}", "simulate", "hpc", {}, "call", {}, "me"))
    book.changed(f"{number:016x}", JobState.RUNNING, str(number))
"""


@pytest.mark.parametrize("kind", ["ext4", "nfs4"])
def test_processes_that_start_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"/dev/root / ext4 rw 0 0\nserver:/home {tmp_path} {kind} rw 0 0\n")
    home = tmp_path / "home"
    code = f"from pathlib import Path; from clustrix_core import mounts; mounts.TABLE = Path({str(table)!r})\n{WRITER}"
    writers = [python(code, home, number * 1000) for number in range(3)]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    monkeypatch.setattr(mounts, "TABLE", table)
    book = Journal(home)
    kept = {found.id: found.reason for found in book.entries()}
    assert kept == {f"{n:016x}": str(n) for first in (0, 1000, 2000) for n in range(first, first + 60)}
    mode = {"ext4": "wal", "nfs4": "delete"}[kind]
    assert book._db.rows("pragma journal_mode")[0][0] == mode
    book.close()


OPENER = """
import sys
from pathlib import Path
from clustrix_core.journal import Journal
sys.stdin.readline()
for home in sys.argv[1:]:
    Journal(Path(home)).close()
"""


def test_opening_at_once_for_the_first_time_is_no_error(tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(60)]
    openers = [python(OPENER, *homes, stderr=subprocess.PIPE) for _ in range(4)]
    for opener in openers:
        assert opener.stdin
        opener.stdin.write("go\n")
        opener.stdin.flush()
    said = [opener.communicate()[1] for opener in openers]
    assert said == ["", "", "", ""]


def test_a_journal_that_cannot_have_wal_works_all_the_same(tmp_path: Path) -> None:
    """Somebody reads an older journal without WAL: SQLite refuses to change its mode, at once."""
    first = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    first.execute("pragma journal_mode = delete")
    first.execute("create table if not exists sites (cluster text primary key, site text not null)")
    first.execute("begin")
    first.execute("select * from sites").fetchall()
    opened: list[Journal] = []
    thread = threading.Thread(target=lambda: opened.append(Journal(tmp_path)))
    thread.start()
    thread.join(0.5)
    first.execute("rollback")  # the schema waits for the reader, the mode does not
    thread.join(10)
    assert opened, "the journal did not open"
    assert opened[0]._db.rows("pragma journal_mode")[0][0] == "delete"
    opened[0].add(entry("00aa"))
    other = Journal(tmp_path)
    assert other.get("00aa").label == "simulate"
    other.close()
    opened[0].close()
    first.close()


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "jobs.db")
    db.execute("pragma user_version = 99")
    db.commit()
    with pytest.raises(ConfigError, match="written by a newer Clustrix"):
        Journal(tmp_path)
    assert db.execute("select name from sqlite_master").fetchall() == []
    db.close()


def test_what_was_added_survives_a_kill(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from clustrix_core.entry import Entry
from clustrix_core.journal import Journal
book = Journal(Path(sys.argv[1]))
book.add(Entry("00aa", "simulate", "hpc", {}, "call", {}, "me"))
print("added", flush=True)
time.sleep(60)
"""
    client = python(code, tmp_path)
    assert client.stdout and client.stdout.readline() == "added\n"
    client.kill()
    client.communicate()
    book = Journal(tmp_path)
    assert book.get("00aa").phase == INTENT
    book.close()


def test_threads_share_one_journal(book: Journal) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 50):
            book.add(entry(f"{number:08x}"))
            book.get(f"{number:08x}")

    threads = [threading.Thread(target=write, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book.entries()) == 200


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_journal_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Journal(tmp_path / "home").close()
    finally:
        os.umask(old)
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


# -- mounts

TABLE = r"""sysfs /sys sysfs rw,nosuid 0 0
/dev/sda1 / ext4 rw,relatime 0 0
/dev/sdb1 /home ext4 rw 0 0
fs.example:/export/home /home nfs4 rw,vers=4.2,addr=10.0.0.2 0 0
scratch@tcp:/scratch /scratch lustre rw,flock 0 0
tmpfs /scratch/local tmpfs rw 0 0
host:/x /mnt/with\040space\134 fuse.sshfs rw 0 0
//server/share /mnt/share cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/", False),
        ("/var/tmp", False),
        ("/home/ada/.clustrix", True),
        ("/homestead", False),
        ("/scratch/ada", True),
        ("/scratch/local/ada", False),
        ("/mnt/with space\\/x", True),
        ("/mnt/share", True),
    ],
)
def test_network_file_systems_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, network: bool
) -> None:
    table = tmp_path / "mounts"
    table.write_text(TABLE)
    monkeypatch.setattr(mounts, "TABLE", table)
    assert mounts.is_network(Path(path)) is network


def test_without_a_mount_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "TABLE", tmp_path / "nothing")
    assert not mounts.is_network(tmp_path)


# -- errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ClustrixError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_the_journal_as_itself(kind: type[ClustrixError]) -> None:
    error = kind("it ☃", cluster="hpc", job="00aa", state="FAILED", exit_code=3, log="the end\n", hint="Try again.")
    again = error_from(json.loads(json.dumps(error_data(error))))
    assert type(again) is kind and vars(again) == vars(error) and str(again) == str(error)


def test_what_is_no_data_of_an_error_stays_out_of_the_journal() -> None:
    error = ClustrixError("it", argv=("a", "b"), path=Path("/x"), exit_code=3)
    assert vars(error_from(json.loads(json.dumps(error_data(error))))) == {"exit_code": 3}


def test_an_error_of_a_later_version_is_still_an_error() -> None:
    assert type(error_from({"type": "JobAbducted", "message": "by aliens", "data": {}})) is ClustrixError
    assert type(error_from({"type": "annotations", "message": "x", "data": {}})) is ClustrixError
    assert type(error_from({"type": "CancelledError", "message": "x", "data": {}})) is ClustrixError


# -- who is alive

CLIENT = """
import sys, time
from pathlib import Path
from clustrix_core import alive
name, file = alive.announce(Path(sys.argv[1]))
print(name, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_releases_liveness(tmp_path: Path) -> None:
    client = python(CLIENT, tmp_path)
    assert client.stdout
    name = client.stdout.readline().strip()
    assert alive.is_alive(tmp_path, name) and alive.is_alive(tmp_path, name)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    assert not alive.is_alive(tmp_path, name) and not alive.is_alive(tmp_path, name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    child = "import os\nif not os.fork():\n    time.sleep(30)\n    os._exit(0)\n"
    code = CLIENT.replace("print(name", f"{child}print(name")
    client = python(code, tmp_path, start_new_session=True)
    assert client.stdout
    name = client.stdout.readline().strip()  # the child lives by then
    assert alive.is_alive(tmp_path, name)
    client.kill()
    client.wait()
    try:
        deadline = time.monotonic() + 10  # the child lets go as its first act, which may come after its parent's end
        while alive.is_alive(tmp_path, name):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.killpg(client.pid, signal.SIGKILL)  # the child
        client.communicate()


def test_a_process_sees_itself_alive_and_others_not(tmp_path: Path) -> None:
    name, file = alive.announce(tmp_path)
    assert alive.is_alive(tmp_path, name)
    assert not alive.is_alive(tmp_path, "0123456789abcdef")
    file.close()
    assert not alive.is_alive(tmp_path, name)


@pytest.mark.skipif(os.name != "posix", reason="POSIX's locks")
def test_a_home_without_locks_is_an_error_not_a_long_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(ConfigError, match="cannot be locked: No locks available"):
        alive.announce(tmp_path)


def test_the_files_of_the_dead_do_not_pile_up(tmp_path: Path) -> None:
    held = [alive.announce(tmp_path) for _ in range(3)]
    for _ in range(20):
        alive.announce(tmp_path)[1].close()
    living = {name for name, _ in held}
    left = {path.name for path in (tmp_path / "clients").iterdir()}
    assert living < left and len(left) == 4  # the living, and the last of the dead
    for name, file in held:
        assert alive.is_alive(tmp_path, name)
        file.close()


def test_many_that_announce_themselves_at_once_all_live(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from clustrix_core import alive
home, held = Path(sys.argv[1]), []
sys.stdin.readline()
for _ in range(50):
    held.append(alive.announce(home))
print(*[name for name, _ in held], flush=True)
sys.stdin.readline()
"""
    clients = [python(code, tmp_path) for _ in range(3)]
    for client in clients:
        assert client.stdin
        client.stdin.write("go\n")
        client.stdin.flush()
    names = [name for client in clients if client.stdout for name in client.stdout.readline().split()]
    assert len(names) == 150
    assert [name for name in names if not alive.is_alive(tmp_path, name)] == []
    for client in clients:
        client.communicate("\n")


def test_the_names_in_the_journal_module_are_those_the_schema_uses() -> None:
    assert f"phase in ('{INTENT}', '{SUBMITTED}')" in journal._SCHEMA


def test_a_journal_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    new = Journal(tmp_path)
    new.add(entry("0" * 16))
    new.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as db:
        db.execute("drop index jobs_left")
        db.execute("alter table jobs drop column place")
        db.execute("create index jobs_left on jobs (cluster) where on_cluster = 2")
        db.execute("pragma user_version = 1")
        db.commit()
    again = Journal(tmp_path)
    again.submitted("0" * 16, JobHandle("0" * 16, "x", "1"))
    again.discard("0" * 16)
    assert [handle.job for handle in again.garbage(again.get("0" * 16).place)] == ["0" * 16]
    again.close()


# -- forks: SQLite keeps its locks in the process's memory, and a child would inherit them for ever

FORKS = """
import os, sys, threading
from pathlib import Path
from clustrix_core.journal import Journal
from clustrix_core.entry import Entry

def entry(job):
    return Entry(job, label="simulate", cluster="hpc", settings={}, kind="call", spec={}, owner="me")

home = Path(sys.argv[1])
book = Journal(home)
inside, ready = threading.Event(), threading.Event()

def write():
    with book._db.writing():
        inside.set()
        ready.wait(0.5)  # the fork comes in the middle of it, or waits

thread = threading.Thread(target=write)
thread.start()
inside.wait()
pid = os.fork()
if not pid:
    Journal(home).add(entry("c0ffee"))
    os._exit(0)
ready.set()
thread.join()
book.add(entry("decade"))
print(os.waitpid(pid, 0)[1], sorted(book.ids()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_forked_amid_a_transaction_can_write_and_so_can_its_parent(tmp_path: Path) -> None:
    began = time.monotonic()
    with python(FORKS, tmp_path) as process:
        assert process.communicate(timeout=60)[0].split("\n")[0] == "0 ['c0ffee', 'decade']"
    assert time.monotonic() - began < 15
