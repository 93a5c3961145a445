"""A fake PBS server: programs on PATH talk to it, and it really runs what they submit, as processes of their users.

    python3 -m tests.testbeds.pbs.server HOUSE

It ends with the process that started it. It answers as OpenPBS 23.06.06 was seen to, exit codes and words included;
as a Torque, it answers as that is documented.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from tests.testbeds.pbs import commands
from tests.testbeds.pbs.jobs import CPUS, DELETED, FAILED, MEMORY, RAN, TICK, Job, Node, Queue, Settings

ENDS = {"walltime": -29, "mem": -27}
TORQUE_ENDS = {"walltime": -11, "mem": -10}


class Server:
    """Jobs, queues and a node. All of it under one lock."""

    def __init__(self, house: Path) -> None:
        self.settings = Settings()
        self.node = Node(house, self.settings)
        self.lock = threading.RLock()
        self.jobs: dict[tuple[int, int | None], Job] = {}
        self.next = 0
        self.asked: list[list[str]] = []  # the commands so far
        self.last: dict[int, float] = {}  # when each user last asked
        self.queues = {
            queue.name: queue
            for queue in (
                Queue("workq"),
                Queue("short", max_walltime=3600, default_walltime=600),
                Queue("narrow", max_run=1),
                Queue("closed", enabled=False),
                Queue("stopped", started=False),
            )
        }

    # -- what runs

    def tick(self) -> None:
        with self.lock:
            for job in list(self.jobs.values()):
                if job.state in "RE" and not job.array:
                    self.node.tend(job)
                    pause = self.settings.exiting / (4 if job.index is not None else 1)
                    if job.state == "E" and job.left is not None and time.time() - job.left >= pause:
                        self._finish(job)
            for job in sorted(self.jobs.values(), key=lambda job: (job.number, job.index or 0)):
                if job.state == "Q" and not job.array:
                    self._try(job)

    def running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in "RE" and not job.array]

    def _try(self, job: Job) -> None:
        parent, queue, running = self.parent(job), self.queues[job.queue], self.running()
        siblings = [one for one in running if one.number == job.number]
        if parent is not None and (parent.state == "H" or (parent.max_run and len(siblings) >= parent.max_run)):
            return
        if not queue.started or (queue.max_run and sum(one.queue == queue.name for one in running) >= queue.max_run):
            self._say(job, "Not Running: Queue not started." if not queue.started else "Not Running: Queue job limit")
            return
        wanted, free = job.ncpus * job.chunks, CPUS - sum(one.ncpus * one.chunks for one in running)
        memory = (job.memory or 0) * job.chunks
        room = MEMORY - sum((one.memory or 0) * one.chunks for one in running)
        if wanted > CPUS or memory > MEMORY:
            lack = f"ncpus (R: {wanted} A: {CPUS} T: {CPUS})"
            if wanted <= CPUS:
                lack = f"mem (R: {memory >> 10}kb A: {MEMORY >> 10}kb T: {MEMORY >> 10}kb)"
            self._say(job, f"Can Never Run: Insufficient amount of resource: {lack}")
        elif wanted > free or memory > room:
            self._say(job, f"Not Running: Insufficient amount of resource: ncpus (R: {wanted} A: {free} T: {CPUS})")
        else:
            self.node.start(job)
            if parent is not None and parent.state == "Q":
                parent.state, parent.started = "B", time.time()
                parent.comment = f"Job Array Began at {time.strftime('%a %b %d at %H:%M')}"

    def _say(self, job: Job, comment: str) -> None:
        job.comment = comment
        if (parent := self.parent(job)) is not None and parent.state == "Q":
            parent.comment = comment

    def _finish(self, job: Job) -> None:
        ends = TORQUE_ENDS if self.settings.torque else ENDS
        job.ended = time.time()
        self.node.deliver(job)
        job.process = None
        if job.why == "rerun":
            job.state, job.substate, job.status = "Q", 10, None
            job.why, job.told, job.started, job.left = "", None, None, None
            return
        if job.why in ends:
            job.status, job.substate = ends[job.why], FAILED
            job.comment += f" and exceeded resource {job.why}"
        elif job.why == "deleted":
            job.substate = DELETED
            job.comment += " and terminated"
        else:
            job.substate = FAILED if job.status else RAN
            job.comment += " and failed" if job.status else " and finished"
        self._over(job)

    def _over(self, job: Job) -> None:
        job.ended = job.ended or time.time()
        parent = self.parent(job)
        job.state = "F" if parent is None or self.settings.torque else "X"
        if parent is None:
            self._release(job)
        if parent is not None:
            parent.status = job.status
            if all(task.over for task in self.tasks(parent)):
                for one in (parent, *self.tasks(parent)):
                    one.state = "F"
                parent.substate, parent.ended = (DELETED if parent.why else RAN), time.time()
                self._release(parent)
        elif not self.settings.history and not self.settings.torque:
            del self.jobs[job.number, job.index]
        if parent is not None and parent.over and not self.settings.history and not self.settings.torque:
            for one in (parent, *self.tasks(parent)):
                del self.jobs[one.number, one.index]

    def await_others(self, job: Job) -> None:
        """Begin to wait for what a job depends on. One that is not known is the end of it, at once."""
        if any(self.find(id) is None for _, id in job.depend):
            self.never(job, RAN)
        for before in {id: self.find(id) for _, id in job.depend}.values():
            if before is not None and before.over:
                self._release(before)

    def _release(self, before: Job) -> None:
        """Tell all that wait for a job that it is over."""
        for job in [job for job in self.jobs.values() if job.state == "H" and job.index is None]:
            kinds = [kind for kind, id in job.depend if id == before.id]
            if any((kind == "afterok") is (before.status != 0) for kind in kinds if kind in ("afterok", "afternotok")):
                self.never(job, RAN)
            elif kinds:
                job.depend = [(kind, id) for kind, id in job.depend if id != before.id]
                if not job.depend:
                    job.holds = job.holds.replace("s", "") or "n"
                    self.let_go(job)

    def let_go(self, job: Job) -> None:
        """Queue a job that nothing holds any more."""
        for one in (job, *self.tasks(job)):
            if job.holds == "n" and one.state == "H":
                one.state, one.holds = "Q", "n"

    def never(self, job: Job, substate: int) -> None:
        """End a job that has not begun."""
        for task in self.tasks(job):
            if task.state in "QH":
                task.substate, task.status, task.comment = DELETED, 1, "Subjob finished"
                self._over(task)
        if not job.over:
            if job.index is not None:
                job.status, job.comment = 1, "Subjob finished"
            elif substate == RAN:
                job.comment = ""
            job.substate = substate
            if not job.array or not self.tasks(job):
                self._over(job)

    # -- what is known

    def parent(self, job: Job) -> Job | None:
        return None if job.index is None else self.jobs[job.number, None]

    def tasks(self, job: Job) -> list[Job]:
        return [self.jobs[job.number, index] for index in job.array if (job.number, index) in self.jobs]

    def find(self, id: str) -> Job | None:
        return next((job for job in self.jobs.values() if job.id == id), None)

    # -- who asks

    def answer(self, asked: dict[str, object], uid: int) -> dict[str, object]:
        with self.lock:
            if asked["program"] == "bed":
                return {"out": json.dumps(self._set(asked["argv"])), "err": "", "rc": 0, "pause": 0}
            program, argv = str(asked["program"]), list(asked["argv"])  # type: ignore[call-overload]
            self.asked.append([program, *argv])
            pause = 0.0
            if program == "qstat":
                pause = 0.2 if time.time() - self.last.get(uid, 0) < 1 else 0
                self.last[uid] = time.time()
            out, err, rc = commands.run(self, program, argv, asked, pwd.getpwuid(uid).pw_name)
            return {"out": out, "err": err, "rc": rc, "pause": pause}

    def _set(self, argv: object) -> object:
        """Set what a test wants otherwise, and return the commands so far."""
        assert isinstance(argv, dict)
        for name, value in argv.items():
            if name == "forget":
                job = self.find(value)
                assert job is not None
                for one in (job, *self.tasks(job)):
                    one.name = "renamed"
            elif name == "rerun":
                job = self.find(value)
                assert job is not None
                job.forced = True
                self.node.end(job, "rerun")
            else:
                assert hasattr(self.settings, name), name
                setattr(self.settings, name, value)
        if not self.settings.history:
            self.jobs = {key: job for key, job in self.jobs.items() if not (job.over and self._root(job).over)}
        return self.asked

    def _root(self, job: Job) -> Job:
        return self.parent(job) or job

    def close(self) -> None:
        for job in self.running():
            self.node.clear(job)


def serve(house: Path) -> None:
    """Answer until the process that started this one is gone."""
    started_by = os.getppid()
    server = Server(house)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{house}/socket")
    os.chmod(f"{house}/socket", 0o777)
    listener.listen(64)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            uid = struct.unpack("3i", credentials)[1]
            said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            connection.sendall(json.dumps(server.answer(json.loads(said), uid)).encode())

    threading.Thread(target=accept, daemon=True).start()
    try:
        while os.getppid() == started_by:
            server.tick()
            time.sleep(TICK)
    finally:
        server.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
