"""Bringing results and logs home, with real shells, real files and nobody else's."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clustrix_core import batch
from clustrix_core.batch.fetch import _SCRIPT, KEPT
from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster
from clustrix_core.transport import DEADLINE, Completed
from clustrix_core.transport.counting import Counting
from clustrix_core.transport.local import Local
from tests.unit.schedulers import JOB, cluster, handle, put

OTHER = "fedcba9876543210"


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    made = tmp_path / 'it\'s a "work dir" ☃ $(id)'
    (made / "jobs").mkdir(parents=True)
    return made


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    made.mkdir()
    return made


def mirrored(mirror: Path, job: str = JOB) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (mirror / job).iterdir()} if (mirror / job).exists() else {}


def test_results_markers_logs_and_summaries_come_home(work_dir: Path, mirror: Path) -> None:
    files = {
        "results-0.0.0.0": bytes(range(256)) * 5,
        "results-0.0.0.1": b"no newline at the end",
        "status-0.0": b"EXIT 0\n",
        "result.json": b"{}\n",
        "result-1.2.json": b"{}\n",
        "log-0.0": b"hello",
    }
    put(work_dir, handle(), {**files, "payload": b"x", "job-0.sh": b"#!", "key": b"secret"})
    put(work_dir, handle(), {"status-0.1.new": b"EX", "results-0.0.0.2": b"", ".hidden": b"x", "results": b"x"})
    fetched = batch.fetch([handle()], mirror, cluster(work_dir))
    assert mirrored(mirror) == files
    assert (sorted(fetched[JOB].new), fetched[JOB].missing) == (sorted(files), False)


def test_so_much_of_a_long_log_comes_home(work_dir: Path, mirror: Path) -> None:
    place = put(work_dir, handle(), {"log-0.0": b"x" * (KEPT - 3)})
    here = cluster(work_dir)
    batch.fetch([handle()], mirror, here)
    (place / "log-0.0").write_bytes(b"x" * (KEPT - 3) + b"y" * 100)
    assert batch.fetch([handle()], mirror, here)[JOB].new == ("log-0.0",)
    assert mirrored(mirror)["log-0.0"] == b"x" * (KEPT - 3) + b"yyy"
    assert batch.fetch([handle()], mirror, here)[JOB].new == ()


def test_only_new_bytes_come_again(work_dir: Path, mirror: Path) -> None:
    place = put(work_dir, handle(), {"results-0.0.0.0": b"first", "status-0.0": b"EXIT 0\n"})
    here = cluster(work_dir)
    counting = here.transport
    assert isinstance(counting, Counting)
    batch.fetch([handle()], mirror, here)
    assert batch.fetch([handle()], mirror, here)[JOB].new == ()
    with (place / "results-0.0.0.0").open("ab") as file:
        file.write(b" and more" * 1000)
    counting.reset()
    assert batch.fetch([handle()], mirror, here)[JOB].new == ("results-0.0.0.0",)
    assert mirrored(mirror)["results-0.0.0.0"] == b"first" + b" and more" * 1000
    assert counting.received < 9000 + 300 and counting.runs == 1


def test_a_marker_that_was_replaced_is_replaced_here(work_dir: Path, mirror: Path) -> None:
    place = put(work_dir, handle(), {"status-0.0": b"EXIT 137\n", "result.json": b'{"state": "failed"}\n'})
    batch.fetch([handle()], mirror, cluster(work_dir))
    (place / "status-0.0").write_bytes(b"EXIT 0\n")
    (place / "result.json").write_bytes(b'{"state": "done", "value": 42}\n')
    assert sorted(batch.fetch([handle()], mirror, cluster(work_dir, site=False))[JOB].new) == [
        "result.json",
        "status-0.0",
    ]
    assert mirrored(mirror) == {"status-0.0": b"EXIT 0\n", "result.json": b'{"state": "done", "value": 42}\n'}


def test_many_jobs_are_one_exec(work_dir: Path, mirror: Path) -> None:
    handles = [handle(f"{number:016x}") for number in range(200)]
    for number, one in enumerate(handles):
        put(work_dir, one, {"results-0.0.0.0": b"%d" % number * 100, "status-0.0": b"EXIT 0\n"})
    here = cluster(work_dir)
    fetched = batch.fetch(handles, mirror, here)
    assert isinstance(here.transport, Counting) and here.transport.runs == 1
    assert {job for job, one in fetched.items() if sorted(one.new) == ["results-0.0.0.0", "status-0.0"]} == {
        one.job for one in handles
    }
    assert all(mirrored(mirror, one.job)["results-0.0.0.0"] == b"%d" % n * 100 for n, one in enumerate(handles))


def test_a_job_without_a_directory_is_missing_and_no_error(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"x"})
    fetched = batch.fetch([handle(), handle(OTHER)], mirror, cluster(work_dir))
    assert (fetched[JOB].missing, fetched[OTHER].missing, fetched[OTHER].new) == (False, True, ())


def test_an_empty_job_directory_is_not_missing(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), {})
    fetched = batch.fetch([handle()], mirror, cluster(work_dir))
    assert (fetched[JOB].missing, fetched[JOB].new) == (False, ())


def test_a_big_file_comes_whole(work_dir: Path, mirror: Path) -> None:
    content = os.urandom(1 << 20) * 20
    put(work_dir, handle(), {"results-0.0.0.0": content, "status-0.0": b"EXIT 0\n"})
    batch.fetch([handle()], mirror, cluster(work_dir))
    assert mirrored(mirror) == {"results-0.0.0.0": content, "status-0.0": b"EXIT 0\n"}


def test_sizes_beyond_four_gigabytes_keep_their_digits(work_dir: Path, mirror: Path) -> None:
    size = 5_000_000_123
    for directory in (put(work_dir, handle(), {}), mirror / JOB):
        directory.mkdir(exist_ok=True)
        with (directory / "results-0.0.0.0").open("wb") as file:
            file.truncate(size)  # a hole: it takes no room
    with (work_dir / handle().dir / "results-0.0.0.0").open("ab") as file:
        file.write(b"the end")
    assert batch.fetch([handle()], mirror, cluster(work_dir))[JOB].new == ("results-0.0.0.0",)
    with (mirror / JOB / "results-0.0.0.0").open("rb") as file:
        assert file.seek(0, 2) == size + 7
        file.seek(size)
        assert file.read() == b"the end"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIME_STYLE", "long-iso"),
        ("TIME_STYLE", "+%s"),
        ("QUOTING_STYLE", "shell-always"),
        ("LS_BLOCK_SIZE", "'1"),
        ("BLOCK_SIZE", "human-readable"),
        ("LC_ALL", "C.UTF-8"),
        ("CDPATH", "/:/tmp"),
        ("POSIXLY_CORRECT", "1"),
    ],
)
def test_the_users_settings_over_there_change_nothing(
    work_dir: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"x" * 5000, "status-0.0": b"EXIT 0\n"})
    monkeypatch.setenv(name, value)
    batch.fetch([handle()], mirror, cluster(work_dir))
    assert mirrored(mirror) == {"results-0.0.0.0": b"x" * 5000, "status-0.0": b"EXIT 0\n"}


HOSTILE = [
    "results-0.0.0.0 x",
    "results-$(touch pwned)",
    "results-`touch pwned`",
    "results-\\c",
    "results-0.0.0.0\nE",
    "results-☃",
    "results-'\"",
    "results--rf",
    "status-0.0 -> /etc/passwd",
    "status-*",
    "result.json.bak",
    "results-final+v2.csv",
    "x\n-rw------- 1 0 0 9 Jan 1 00:00 results-9.9.9.9",
    "x\njobs/fe/fedcba9876543210:\n-rw------- 1 0 0 9 Jan 1 00:00 results-9.9.9.9",
]


def test_hostile_names_cost_nothing(work_dir: Path, mirror: Path) -> None:
    good = {"results-0.0.0.0": b"value", "status-0.0": b"EXIT 0\n"}
    place = put(work_dir, handle(), good)
    put(work_dir, handle(OTHER), {"results-0.0.0.0": b"theirs"})
    for name in HOSTILE:
        if "/" in name:
            place.joinpath(name.split("/", 1)[0]).mkdir(exist_ok=True)
            continue
        (place / name).write_bytes(b"evil")
    (place / "results-0.0.0.9").symlink_to("/etc/passwd")
    os.mkfifo(place / "results-0.0.0.8")
    (place / "results-0.0.0.7").mkdir()
    fetched = batch.fetch([handle(), handle(OTHER)], mirror, cluster(work_dir))
    assert mirrored(mirror) == good and mirrored(mirror, OTHER) == {"results-0.0.0.0": b"theirs"}
    assert not fetched[OTHER].missing
    assert list(work_dir.parent.rglob("pwned")) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_")), max_size=8)
)
def test_any_name_a_function_gives_its_files(work_dir: Path, mirror: Path, names: list[bytes]) -> None:
    place = put(work_dir, handle(), {"results-0.0.0.0": b"value"})
    for name in names:
        for prefix in (b"", b"results-", b"result-"):
            if prefix + name not in (b".", b".."):
                (Path(os.fsdecode(os.fsencode(place) + b"/" + prefix + name))).write_bytes(b"evil")
    batch.fetch([handle()], mirror, cluster(work_dir, site=False))
    assert mirrored(mirror)["results-0.0.0.0"] == b"value"
    shutil.rmtree(place)
    shutil.rmtree(mirror / JOB)


def test_discarded_jobs_go_and_others_stay(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"kept"})
    gone = put(work_dir, handle(OTHER), {"results-0.0.0.0": b"gone"})
    (gone / "claims-0").mkdir()
    here = cluster(work_dir)
    fetched = batch.fetch([handle(OTHER, discard=True), handle()], mirror, here)
    assert not gone.exists() and (work_dir / handle().dir).exists()
    assert mirrored(mirror) == {"results-0.0.0.0": b"kept"} and mirrored(mirror, OTHER) == {}
    assert fetched[OTHER].new == ()
    # Once more, and alone, it is no error.
    batch.fetch([handle(OTHER, discard=True)], mirror, here)
    assert isinstance(here.transport, Counting) and here.transport.runs == 2
    assert (work_dir / handle().dir / "results-0.0.0.0").exists()


def test_a_request_that_is_cut_off_removes_nothing_else(work_dir: Path, mirror: Path) -> None:
    kept = put(work_dir, handle(), {"results-0.0.0.0": b"kept"})
    request = f"X {handle(OTHER).dir}\nX {handle().dir}"
    for length in range(len(request)):
        if not request[:length].endswith(handle().dir):
            Local().run(f"cd -- {shlex.quote(str(work_dir))} && {{ {_SCRIPT}; }}", [request[:length].encode()])
            assert kept.exists(), request[:length]


class Tampering:
    """A transport that changes what comes back."""

    here = False

    def __init__(self, change: Callable[[bytes], Iterable[bytes]]) -> None:
        self.change = change

    def run(
        self,
        command: str,
        stdin: Iterable[bytes] = (),
        sink: Callable[[bytes], None] | None = None,
        idle: float = DEADLINE,
    ) -> Completed:
        done = Local().run(command, stdin)
        for part in self.change(done.stdout):
            if sink is not None:
                sink(part)
        return Completed(done.returncode, b"", done.stderr)

    def close(self) -> None:
        """There is no connection."""


def through(work_dir: Path, change: Callable[[bytes], Iterable[bytes]]) -> Cluster:
    return cluster(work_dir, site=False, transport=Tampering(change))


FILES = {
    "results-0.0.0.0": b"E\n= jobs\nF x 0 9\n" * 20,
    "results-0.1.0.0": b"\n",
    "status-0.0": b"EXIT 0\n",
    "status-0.1": b"TIMEOUT 143 over its walltime \\c $(id) \xe2\x98\x83\n",
    "status-0.2": b"two lines\n\n",
    "status-0.3": b"no end",
    "status-0.4": b"a \0 nul\n",
    "status-0.5": b"\n",
}


def test_bytes_may_come_one_by_one(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), FILES)
    batch.fetch([handle()], mirror, through(work_dir, lambda data: [data[i : i + 1] for i in range(len(data))]))
    assert mirrored(mirror) == FILES


def test_what_a_login_shell_says_first_is_ignored(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), FILES)
    batch.fetch([handle()], mirror, through(work_dir, lambda data: [b"Welcome to HPC!\nE\n" + b"x" * 2000 + data]))
    assert mirrored(mirror) == FILES


def test_an_answer_cut_anywhere_is_an_error_and_is_made_good(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), FILES)
    whole: list[bytes] = []
    batch.fetch([handle()], mirror, through(work_dir, lambda data: whole.append(data) or [data]))
    size = len(whole[0])
    for cut in [*range(0, size - 2, 31), size - 1]:
        shutil.rmtree(mirror / JOB, ignore_errors=True)
        with pytest.raises(CommandError, match="fetching results failed") as raised:
            batch.fetch([handle()], mirror, through(work_dir, lambda data, cut=cut: [data[:cut]]))
        assert raised.value.transient
        left = mirrored(mirror)
        assert all(content == FILES[name][: len(content)] for name, content in left.items())
        batch.fetch([handle()], mirror, cluster(work_dir, site=False))
        assert mirrored(mirror) == FILES


def test_a_file_that_shrinks_meanwhile_does_not_shift_the_rest(work_dir: Path, mirror: Path) -> None:
    """A requeued job removes its marker, another client a job: the listing is old before the bytes are read."""
    put(work_dir, handle(), FILES)
    body = FILES["results-0.0.0.0"]

    def shrink(data: bytes) -> list[bytes]:
        assert data.count(body) == 1
        return [data.replace(body, body[:11])]

    with pytest.raises(CommandError) as raised:
        batch.fetch([handle()], mirror, through(work_dir, shrink))
    assert raised.value.transient
    assert all(content == FILES[name][: len(content)] for name, content in mirrored(mirror).items())
    batch.fetch([handle()], mirror, cluster(work_dir))
    assert mirrored(mirror) == FILES


def test_a_broken_connection_loses_nothing_that_came(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"abcdefghij" * 10, "status-0.0": b"EXIT 0\n"})

    def broken(data: bytes) -> Iterable[bytes]:
        yield data[: data.index(b"abcdefghij") + 42]
        raise TransportError("the connection broke")

    with pytest.raises(TransportError):
        batch.fetch([handle()], mirror, through(work_dir, broken))
    assert mirrored(mirror) == {"results-0.0.0.0": (b"abcdefghij" * 10)[:42]}
    batch.fetch([handle()], mirror, cluster(work_dir))
    assert mirrored(mirror) == {"results-0.0.0.0": b"abcdefghij" * 10, "status-0.0": b"EXIT 0\n"}


@pytest.mark.parametrize(
    "line",
    [
        b"F jobs/fe/fedcba9876543210/results-0.0.0.0 0 4",  # not asked for
        b"F jobs/01/0123456789abcdef/../../../x 0 4",
        b"F jobs/01/0123456789abcdef/.bashrc 0 4",
        b"F jobs/01/0123456789abcdef/results-0/x 0 4",
        b"F jobs/01/../results-0.0.0.0 0 4",
        b"F jobs/01/0123456789abcdef/results-0.0.0.0 9 4",  # backwards
        b"nonsense",
        b"\xff\xfe",
        b"x" * 5000,
    ],
)
def test_an_answer_that_was_not_asked_for_is_refused(work_dir: Path, mirror: Path, line: bytes) -> None:
    put(work_dir, handle(), {})
    evil = through(work_dir, lambda data: [data.replace(b"\nE\n", b"\n" + line + b"\nevil= x\nE\n")])
    before = sorted(path for path in mirror.parent.rglob("*") if work_dir not in path.parents)
    with pytest.raises(CommandError, match="fetching results failed"):
        batch.fetch([handle()], mirror, evil)
    after = sorted(path for path in mirror.parent.rglob("*") if work_dir not in path.parents)
    assert [path for path in after if path not in before] == []


def test_a_work_dir_that_is_away_is_an_outage(tmp_path: Path, mirror: Path) -> None:
    with pytest.raises(CommandError) as raised:
        batch.fetch([handle()], mirror, cluster(tmp_path / "nowhere", site=False))
    assert raised.value.transient and "nowhere" in str(raised.value)


# -- logs


def test_a_log_is_read_on_from_where_it_was(work_dir: Path) -> None:
    place = put(work_dir, handle(), {"log-0.0": b"one\ntwo\n"})
    here = cluster(work_dir)
    chunk = batch.logs(handle(), here, 0)
    assert (chunk.text, chunk.next) == ("one\ntwo\n", 8)
    assert batch.logs(handle(), here, chunk.next).text == ""
    with (place / "log-0.0").open("ab") as file:
        file.write(b"three")
    chunk = batch.logs(handle(), here, chunk.next)
    assert (chunk.text, chunk.next) == ("three", 13)


@pytest.mark.parametrize(("since", "text", "next"), [(-3, "wo\n", 8), (-8, "one\ntwo\n", 8), (-99, "one\ntwo\n", 8)])
def test_the_end_of_a_log(work_dir: Path, since: int, text: str, next: int) -> None:
    put(work_dir, handle(), {"log-0.0": b"one\ntwo\n"})
    chunk = batch.logs(handle(), cluster(work_dir), since)
    assert (chunk.text, chunk.next) == (text, next)


@pytest.mark.parametrize("since", [0, 5, -5])
def test_a_log_that_is_not_there_yet_is_empty(work_dir: Path, since: int) -> None:
    put(work_dir, handle(), {})
    chunk = batch.logs(handle(), cluster(work_dir), since)
    assert (chunk.text, chunk.next) == ("", max(since, 0))


def test_each_task_and_round_has_its_own_log(work_dir: Path) -> None:
    put(work_dir, handle(), {"log-0.0": b"a", "log-0.12": b"b", "log-1.3": b"c"})
    here = cluster(work_dir)
    assert [
        batch.logs(one, here, 0).text for one in (handle(), handle(tasks=13, task=12), handle(round=1, task=3))
    ] == ["a", "b", "c"]


TEXT = "naïve ☃ 𝄞 text\n"


def test_characters_are_never_torn(work_dir: Path) -> None:
    whole = TEXT.encode()
    here = cluster(work_dir)
    for end in range(len(whole) + 1):
        put(work_dir, handle(), {"log-0.0": whole[:end]})
        first = batch.logs(handle(), here, 0)
        assert TEXT.startswith(first.text)
        put(work_dir, handle(), {"log-0.0": whole})
        assert first.text + batch.logs(handle(), here, first.next).text == TEXT
    for since in range(1, len(whole) + 1):
        assert TEXT.endswith(batch.logs(handle(), here, -since).text)


def test_bytes_that_are_no_text_are_shown_all_the_same(work_dir: Path) -> None:
    put(work_dir, handle(), {"log-0.0": b"\xff\xfe caf\xe9 \x80\n"})
    chunk = batch.logs(handle(), cluster(work_dir), 0)
    assert (chunk.text, chunk.next) == ("\ufffd\ufffd caf\ufffd \ufffd\n", 10)


def test_a_long_log_comes_in_pieces(work_dir: Path) -> None:
    content = ("☃" * 999_999 + "!").encode()
    put(work_dir, handle(), {"log-0.0": content})
    here, found, since = cluster(work_dir), "", 0
    while (chunk := batch.logs(handle(), here, since)).text:
        assert len(chunk.text.encode()) <= 1 << 20
        found, since = found + chunk.text, chunk.next
    assert found == "☃" * 999_999 + "!"


def test_a_log_behind_a_talkative_login_shell(work_dir: Path) -> None:
    put(work_dir, handle(), {"log-0.0": b"17\n"})

    class Talkative(Local):
        def run(self, *words: object, **more: object) -> Completed:
            done = super().run(*words, **more)  # type: ignore[arg-type]
            return Completed(done.returncode, b"Welcome!\n5\n" + done.stdout, done.stderr)

    assert batch.logs(handle(), cluster(work_dir, transport=Talkative()), 0).text == "17\n"


# -- a machine that cannot keep what comes


def test_what_cannot_be_written_here_is_told_and_keeps_nothing_else_back(work_dir: Path, mirror: Path) -> None:
    put(work_dir, handle(), {"results-0.0.0.0": b"theirs", "result.json": b"{}\n", "status-0.0": b"EXIT 0\n"})
    put(work_dir, handle(OTHER), FILES)
    (mirror / JOB).mkdir()
    (mirror / JOB / "results-0.0.0.0").mkdir()  # whatever keeps a file from being written
    (mirror / JOB / "status-0.0").mkdir()
    fetched = batch.fetch([handle(), handle(OTHER)], mirror, cluster(work_dir))
    assert "Is a directory" in fetched[JOB].unkept and fetched[JOB].new == ("result.json",)
    assert mirrored(mirror, OTHER) == FILES and fetched[OTHER].unkept == ""
    assert not [path for path in (mirror / JOB).iterdir() if path.name.startswith(".")], "nothing half written stays"
