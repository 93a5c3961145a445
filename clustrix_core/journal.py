"""What this user's clients have asked for and what became of it, in one SQLite file that survives them.

The journal is also core's own plugin: the innermost wrapper of ``submit``, so that a handle is on disk before any other
code can raise.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clustrix_core.database import Database
from clustrix_core.entry import INTENT, SUBMITTED, Entry, place
from clustrix_core.errors import ConfigError
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, Site

_log = logging.getLogger("clustrix.journal")
_SCHEMA = """
create table if not exists jobs (
    id text primary key, label text not null, cluster text not null, place text not null, settings text not null,
    kind text not null,
    spec text not null, phase text not null, state text not null, reason text not null default '',
    created real not null, finished real, handle text, ends text not null default '{}',
    owner text not null, on_cluster integer not null default 0);
create index if not exists jobs_open on jobs (phase) where phase in ('intent', 'submitted');
create index if not exists jobs_created on jobs (created);
create index if not exists jobs_left on jobs (place) where on_cluster = 2;
create table if not exists sites (cluster text primary key, site text not null);
"""
_VERSION = 2  # of the schema; the file keeps it as user_version
_NOTHING, _FILES, _GARBAGE, _KEPT = 0, 1, 2, 3  # on_cluster; what is kept goes only when somebody says so
_THERE = f"on_cluster in ({_FILES}, {_KEPT})"
_NOW_THERE = f"on_cluster = case on_cluster when {_KEPT} then {_KEPT} else {_FILES} end"
_OPEN = "phase in ('intent', 'submitted')"  # as the index has it: SQLite uses a partial one only for its own words


class Journal:
    """The journal in ``home``. Safe for threads; several processes may use one file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = Database(home / "jobs.db")
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        if self._version() < _VERSION:
            with self._db.writing() as db:
                if self._version() == 1:
                    self._add_places(db)
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"pragma user_version = {_VERSION}")

    def _add_places(self, db: sqlite3.Connection) -> None:
        """Version 1 found what a job had left on its cluster by the cluster's name alone."""
        db.execute("drop index if exists jobs_left")
        db.execute("alter table jobs add column place text not null default ''")
        for row in self._db.rows("select id, settings from jobs"):
            where = place(json.loads(row["settings"]))
            db.execute("update jobs set place = ? where id = ?", (where, row["id"]))

    def _version(self) -> int:
        version = int(self._db.rows("pragma user_version")[0][0])
        if version > _VERSION:
            raise ConfigError(
                f"{self.home / 'jobs.db'} was written by a newer Clustrix",
                hint="Update Clustrix, or set CLUSTRIX_HOME to another directory.",
            )
        return version

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _noting(self) -> Iterator[sqlite3.Connection]:
        """Write what will be found out anew: where the disk is full the jobs are watched all the same."""
        try:
            with self._db.writing() as db:
                yield db
        except sqlite3.Error as error:
            _log.warning("%s: not written: %s", self.home / "jobs.db", error)

    def add(self, entry: Entry) -> bool:
        """Write an intent; it is on disk when this returns. False where the files of a job that it comes after may go.

        Once it is written they stay until it is over.
        """
        row = asdict(entry)
        row |= {"handle": None, "place": entry.place}
        for name in ("settings", "spec", "ends"):
            row[name] = json.dumps(row[name])
        names = ", ".join(row)
        with self._db.writing() as db:
            if not all(map(self.keeps, entry.spec.get("after", ()))):
                return False
            db.execute(f"insert into jobs ({names}) values ({', '.join('?' * len(row))})", list(row.values()))
            return True

    def keeps(self, job: str) -> bool:
        """Return whether the files of a job are on its cluster, or may still be, and will not go by themselves."""
        return bool(self._db.rows(f"select 1 from jobs where id = ? and ({_OPEN} or {_THERE})", (job,)))

    def keep(self, job: str) -> bool:
        """Let nothing of a job be removed from its cluster until it is cleaned; False where it may be gone already."""
        with self._db.writing() as db:
            done = db.execute(f"update jobs set on_cluster = {_KEPT} where id = ? and ({_OPEN} or {_THERE})", (job,))
            return done.rowcount == 1

    def submitted(self, job: str, handle: JobHandle) -> None:
        """Write that the scheduler has accepted a job, with what finds it again; not if it was over before."""
        values = (json.dumps(handle.to_json()), SUBMITTED, job)
        with self._db.writing() as db:
            db.execute(f"update jobs set handle = ?, phase = ?, {_NOW_THERE} where id = ? and phase = 'intent'", values)

    def again(self, entry: Entry, owner: str) -> bool:
        """Write the intent of a follow-up round, and which calls have ended before it.

        False when another client has done so, or the job is over.
        """
        with self._db.writing() as db:
            row = db.execute("select phase, spec from jobs where id = ?", (entry.id,)).fetchone()
            if row is None or row["phase"] != SUBMITTED or _round(json.loads(row["spec"])) >= _round(entry.spec):
                return False
            db.execute(
                "update jobs set phase = ?, spec = ?, ends = ?, owner = ?, handle = null where id = ?",
                (INTENT, json.dumps(entry.spec), json.dumps(entry.ends), owner, entry.id),
            )
            return True

    def shaped(self, job: str, spec: Mapping[str, Any]) -> None:
        with self._db.writing() as db:
            db.execute(f"update jobs set spec = ?, {_NOW_THERE} where id = ?", (json.dumps(spec), job))

    def changed(self, job: str, state: JobState, reason: str) -> None:
        with self._noting() as db:
            values = (state.value, reason, job, INTENT, SUBMITTED)
            db.execute("update jobs set state = ?, reason = ? where id = ? and phase in (?, ?)", values)

    def end(self, entry: Entry, *, discard: bool) -> None:
        """Write how a job ended, unless a client has. ``discard``: what it left on the cluster may go."""
        with self._db.writing() as db:
            db.execute(
                "update jobs set phase = ?, state = ?, reason = ?, ends = ?, finished = ?,"
                " on_cluster = case when on_cluster = 1 and ? then 2 else on_cluster end"
                " where id = ? and phase in ('intent', 'submitted')",
                (entry.phase, entry.state, entry.reason, json.dumps(entry.ends), time.time(), discard, entry.id),
            )

    def adopt(self, job: str, before: str, owner: str) -> bool:
        """Take over an intent from a client that has died; False when somebody else was faster."""
        with self._db.writing() as db:
            done = db.execute(
                "update jobs set owner = ? where id = ? and owner = ? and phase = ?", (owner, job, before, INTENT)
            )
            return done.rowcount == 1

    def get(self, job: str) -> Entry:
        """Return a job by its id or an unambiguous beginning of it. Raises ConfigError."""
        if not job or not job.isalnum():
            raise ConfigError(f"{job!r} is not the id of a job")
        rows = self._db.rows("select * from jobs where id >= ? and id < ? order by id limit 6", (job, job + "g"))
        if len(rows) == 1:
            return _entry(rows[0])
        if not rows:
            raise ConfigError(f"there is no job {job!r}", hint="`clustrix jobs` lists them.")
        raise ConfigError(f"{job!r} is short for {', '.join(row['id'] for row in rows)}", hint="Give more of the id.")

    def entries(self, *, only_open: bool = False, limit: int | None = None, cluster: str | None = None) -> list[Entry]:
        """Return jobs, the latest first."""
        where = f"where (? is null or cluster = ?) {f'and {_OPEN}' if only_open else ''}"
        rows = self._db.rows(
            f"select * from jobs {where} order by created desc limit ?",
            (cluster, cluster, -1 if limit is None else limit),
        )
        return [_entry(row) for row in rows]

    def ids(self) -> set[str]:
        """Return the ids of all jobs, without reading what is known of them."""
        return {row["id"] for row in self._db.rows("select id from jobs")}

    def intents(self) -> list[Entry]:
        """Return the jobs that no scheduler has accepted yet."""
        rows = self._db.rows(f"select * from jobs where {_OPEN} and phase = ? order by created", (INTENT,))
        return [_entry(row) for row in rows]

    def garbage(self, place: str) -> list[JobHandle]:
        """Return the handles of jobs whose files in this place may be removed, some hundreds at a time.

        What an open job comes after is not among them: it reads the value over there.
        """
        wanted = f"select key from jobs, json_each(jobs.spec, '$.after') where {_OPEN}"
        may_go = f"on_cluster = {_GARBAGE} and id not in ({wanted})"
        rows = self._db.rows(f"select id, handle from jobs where place = ? and {may_go} limit 500", (place,))
        # Of a job whose follow-up round was refused the handle is gone; its directory is not.
        known = [
            json.loads(row["handle"]) if row["handle"] else {"job": row["id"], "name": "", "native": ""} for row in rows
        ]
        return [JobHandle.from_json({**handle, "discard": True}) for handle in known]

    def removed(self, handles: list[JobHandle]) -> None:
        with self._noting() as db:
            db.executemany(
                "update jobs set on_cluster = ? where id = ?", [(_NOTHING, handle.job) for handle in handles]
            )

    def forget(self, job: str) -> None:
        """Strike out a job; not while something of it is still to be removed from its cluster."""
        with self._db.writing() as db:
            db.execute("delete from jobs where id = ? and on_cluster <> ?", (job, _GARBAGE))

    def discard(self, job: str) -> None:
        """Let what a job left on the cluster be removed at the next contact."""
        with self._db.writing() as db:
            db.execute(f"update jobs set on_cluster = ? where id = ? and {_THERE}", (_GARBAGE, job))

    def site(self, key: str) -> Site | None:
        """Return what the first contact with a cluster has learnt, if there was one."""
        rows = self._db.rows("select site from sites where cluster = ?", (key,))
        return Site.from_json(json.loads(rows[0]["site"])) if rows else None

    def remember(self, key: str, site: Site) -> None:
        with self._db.writing() as db:
            db.execute("insert or replace into sites values (?, ?)", (key, json.dumps(site.to_json())))


class Innermost:
    """The journal as a plugin."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @hookimpl(wrapper=True, trylast=True)
    def submit(self, job: JobSpec, script: str, cluster: Cluster) -> Generator[None, JobHandle, JobHandle]:
        handle = yield
        if isinstance(handle, JobHandle):
            self._journal.submitted(job.id, handle)
        return handle


def _round(spec: Mapping[str, Any]) -> int:
    return int(spec.get("round", 0))


def _entry(row: sqlite3.Row) -> Entry:
    data = dict(row)
    del data["on_cluster"], data["place"]
    for name in ("settings", "spec", "ends"):
        data[name] = json.loads(data[name])
    data["handle"] = JobHandle.from_json(json.loads(data["handle"])) if data["handle"] else None
    return Entry(**data)
