"""What runs in a pod, beside the worker: Python 3.6 and later, standard library only.

task WORK JOB ROUND TASK TASKS WIDTH WORKER WALLTIME     the container that runs the calls
keep WORK SECONDS           the container beside it, which keeps the results until they are fetched
give WORK                   run in that one by the client: what is new of the results
release WORK                the same: all is fetched, the pod may end
probe                       says which Python this is
"""

import base64
import fcntl
import gzip
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, BinaryIO, Callable, Dict, List, Tuple

IN = "/clustrix-in"
SAID = "/dev/termination-log"
FITS = 4000  # bytes of the 4096 that the server keeps of a container's last words
KEPT = 1 << 18  # bytes of a log that are kept for the client; the server keeps more for a while
BEGIN = 60.0  # seconds in which the calls' container must have begun
GRACE = 20.0  # seconds between the two signals that end a job
NAMES = re.compile(r"results-[0-9.]+|log-[0-9.]+|status-[0-9.]+|result(-[0-9.]+)?[.]json")
GROW = ("results-", "log-")
PROGRESS = re.compile(r"progress-[0-9.]+")


def probe() -> int:
    import pwd
    import sysconfig

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    whole = "%d.%d.%d %s %s" % (sys.version_info[:3] + (sysconfig.get_platform(), sys.executable))
    say(json.dumps({"python": list(sys.version_info[:2]), "user": user, "interpreter": whole}))
    return 0


def say(text: str) -> None:
    with open(SAID, "w") as file:
        file.write(text)


def task(work: str, job: str, round: str, number: str, tasks: str, width: str, worker: str, walltime: str) -> int:
    os.umask(0o077)
    os.makedirs(work, 0o700, exist_ok=True)
    alive = os.open(os.path.join(work, "alive"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(alive, fcntl.LOCK_EX)
    open(os.path.join(work, "begun"), "w").close()
    directory = os.path.join(work, "jobs", job[:2], job)
    receive(directory, os.path.join(work, "worker", worker))
    share(directory, int(round), int(number), int(tasks), int(width), os.path.join(work, "worker", worker))
    code, marker = run(directory, "job-%s.sh" % round, "log-%s.%s" % (round, number), float(walltime))
    path = os.path.join(directory, "status-%s.%s" % (round, number))
    if marker:
        with open(path + ".new", "w") as file:
            file.write(marker + "\n")
        os.rename(path + ".new", path)
    speak(work, directory, path)
    return code


def receive(directory: str, worker: str) -> None:
    """Put what the client has sent to where the worker looks for it."""
    os.makedirs(directory, 0o700, exist_ok=True)
    sent = os.path.join(IN, "job")
    for name in sorted(os.listdir(sent)):
        if name.startswith("."):
            continue
        whole, _, part = name.partition("..")  # payload..003: the fourth part of it
        with open(os.path.join(sent, name), "rb") as source, open(
            os.path.join(directory, whole), "ab" if part.strip("0") else "wb"
        ) as target:
            target.write(source.read())
    os.makedirs(worker, 0o700, exist_ok=True)
    with tarfile.open(os.path.join(IN, "worker", "worker.tar.gz")) as tar:
        tar.extractall(worker)  # our own, from this namespace


def share(directory: str, round: int, number: int, tasks: int, width: int, worker: str) -> None:
    """Claim the blocks of other tasks in their name: no two pods see one directory, so each has its own blocks."""
    claims = os.path.join(directory, "claims-%d" % round)
    os.makedirs(claims, 0o700, exist_ok=True)
    if tasks == 1:
        return
    sys.path.insert(0, worker)
    blocks = importlib.import_module("clustrix_core.worker.claims").blocks
    with open(os.path.join(directory, "spec.json")) as file:
        spec = json.load(file)
    count = spec["calls"]
    todo = os.path.join(directory, "todo-%d" % round)
    if os.path.exists(todo):
        with open(todo) as file:
            count = len(json.load(file))
    for block in range(len(blocks(count, tasks * width, spec.get("chunk"))) - 1):
        if block % tasks != number:
            with open(os.path.join(claims, "b%d" % block), "w") as file:
                file.write("%d.0" % (block % tasks))


def run(directory: str, script: str, log: str, walltime: float) -> "Tuple[int, str]":
    """Run the job's script; return its exit code, and a marker where it was ended here."""
    process = subprocess.Popen(
        ["/bin/sh", script],
        cwd=directory,
        # The server may make another pod for the same task, which does not see what this one has written.
        env=dict(os.environ, CLUSTRIX_ATTEMPT=str(int(time.time()))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    told: "List[int]" = []

    def stop(number: int, frame: object) -> None:
        told.append(number)
        process.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    reader = threading.Thread(target=copy, args=(process.stdout, os.path.join(directory, log)))
    reader.daemon = True
    reader.start()
    try:
        code = process.wait(walltime or None)
        marker = ""
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        code, marker = 143, "TIMEOUT 143 over its walltime"
    if told and not marker:
        code, marker = 143, "CANCELLED 143 it was told to stop"
    if not marker:
        reader.join(2)  # what it has left behind may hold the pipe open
    return (code if code >= 0 else 128 - code), marker


def copy(source: "IO[bytes]", log: str) -> None:
    """Pass output on, and keep the first of it."""
    left = KEPT
    with open(log, "ab", 0) as kept:
        while True:
            data = os.read(source.fileno(), 1 << 16)
            if not data:
                return
            os.write(1, data)
            kept.write(data[:left])
            left -= len(data[:left])


def speak(work: str, directory: str, marker: str) -> None:
    """Say how it ended, and all results where they are small: then nobody needs to fetch them."""
    with open(marker) as file:
        words = file.readline().strip()[:200]
    stream = io.BytesIO()
    write(stream, directory, {})
    whole = base64.b64encode(gzip.compress(stream.getvalue(), 9)).decode("ascii")
    fits = len(words) + len(whole) < FITS
    say(words + "\n" + (whole if fits else ""))
    if fits:
        open(os.path.join(work, "said"), "w").close()


def keep(work: str, seconds: str) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

    def here(name: str) -> bool:
        return os.path.exists(os.path.join(work, name))

    late = time.time() + BEGIN
    while not here("begun"):
        if time.time() > late:
            return 1
        time.sleep(0.05)
    with open(os.path.join(work, "alive")) as alive:
        while True:  # asked again and again: a wait in the kernel would not end with a signal
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.1)
    late = time.time() + float(seconds)
    while not here("said") and not here("released"):
        if time.time() > late:
            print("clustrix: nobody has fetched the results within %s s" % seconds, flush=True)
            return 1
        time.sleep(0.1)
    return 0


def release(work: str) -> int:
    open(os.path.join(work, "released"), "w").close()
    return 0


def give(work: str) -> int:
    """Answer a request of the client: its length, then what it has already."""
    length = int(sys.stdin.buffer.readline())
    lines = sys.stdin.buffer.read(length).decode("utf-8").splitlines()
    directory = ""
    here: "Dict[str, str]" = {}
    for line in lines:
        first, _, rest = line.partition(" ")
        if first == "J":
            directory = rest
        else:
            here[first] = rest
    write(sys.stdout.buffer, os.path.join(work, directory), here, directory)
    sys.stdout.buffer.flush()
    return 0


def write(stream: "BinaryIO", place: str, here: "Dict[str, str]", directory: str = "") -> None:
    """Write what is new in a job's directory, as the client reads it."""
    directory = directory or os.path.join(*place.split(os.sep)[-3:])
    stream.write(b"clustrix: files\n")
    if os.path.isdir(place):
        stream.write(("D %s\n" % directory).encode("utf-8"))
        for name in sorted(os.listdir(place)):
            path, file = os.path.join(place, name), "%s/%s" % (directory, name)
            if NAMES.fullmatch(name):
                one(stream, path, file, int(here.get(name, 0)), name.startswith(GROW))
            elif PROGRESS.fullmatch(name):
                with open(path, "rb") as source:
                    line = source.readline(4096).strip()
                if line and line.split(b" ")[0].decode("ascii", "replace") != here.get(name):
                    stream.write(("P %s " % file).encode("utf-8") + line + b"\n")
    stream.write(b"E\n")


def one(stream: "BinaryIO", path: str, file: str, had: int, grows: bool) -> None:
    size = os.path.getsize(path)
    if not size or (size <= had if grows else size == had):
        return
    start = had if grows else 0
    stream.write(("F %s %d %d\n" % (file, start, size)).encode("utf-8"))
    with open(path, "rb") as source:
        source.seek(start)
        left = size - start
        while left:
            data = source.read(min(left, 1 << 20))
            if not data:
                raise SystemExit("clustrix: %s has shrunk" % path)
            stream.write(data)
            left -= len(data)
    stream.write(("= %s\n" % file).encode("utf-8"))


COMMANDS: "Dict[str, Callable[..., int]]" = {
    "task": task,
    "keep": keep,
    "give": give,
    "release": release,
    "probe": probe,
}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
