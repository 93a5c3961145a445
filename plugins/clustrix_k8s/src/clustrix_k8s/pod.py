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
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, Callable, Dict, List, Tuple

if TYPE_CHECKING or __package__:
    from clustrix_k8s import giving, keeper, parcels
else:  # in a pod these files lie side by side
    import giving
    import keeper
    import parcels

IN = "/clustrix-in"
FITS = 2000  # bytes of last words: of a pod's six containers, init ones too, a kubelet keeps 2048 each (12 KiB in all)
KEPT = 1 << 18  # bytes of a log that are kept for the client; the server keeps more for a while
GRACE = 20.0  # seconds between the two signals that end a job
LARGEST = 1 << 20  # a longer stream will not fit, however well it can be compressed
BLOB = "blob."  # what the names of those blobs begin with that come through the API


def probe() -> int:
    import pwd
    import sysconfig

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    whole = "%d.%d.%d %s %s" % (sys.version_info[:3] + (sysconfig.get_platform(), sys.executable))
    giving.say(json.dumps({"python": list(sys.version_info[:2]), "user": user, "interpreter": whole}))
    return 0


def task(work: str, job: str, round: str, number: str, tasks: str, width: str, worker: str, walltime: str) -> int:
    os.umask(0o077)
    os.makedirs(work, 0o700, exist_ok=True)
    alive = os.open(os.path.join(work, "alive"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(alive, fcntl.LOCK_EX)
    open(os.path.join(work, "begun"), "w").close()
    directory = os.path.join(work, "jobs", job[:2], job)
    store = receive(directory, os.path.join(work, "worker", worker))
    share(directory, int(round), int(number), int(tasks), int(width), os.path.join(work, "worker", worker))
    code, marker = run(directory, "job-%s.sh" % round, "log-%s.%s" % (round, number), float(walltime))
    path = os.path.join(directory, "status-%s.%s" % (round, number))
    if marker:
        with open(path + ".new", "w") as file:
            file.write(marker + "\n")
        os.rename(path + ".new", path)
    speak(work, directory, path, store.get("put", {}).get(number, ""))
    return code


def receive(directory: str, worker: str) -> "Dict[str, Any]":
    """Put what the client has sent to where the worker looks for it; return what it says of an object store."""
    os.makedirs(os.path.join(directory, "blobs"), 0o700, exist_ok=True)
    sent = os.path.join(IN, "job")
    for name in sorted(os.listdir(sent)):
        if name.startswith("."):
            continue
        whole, _, part = name.partition("..")  # payload..003: the fourth part of it
        whole = "blobs/" + whole[len(BLOB) :] if whole.startswith(BLOB) else whole
        with open(os.path.join(sent, name), "rb") as source, open(
            os.path.join(directory, whole), "ab" if part.strip("0") else "wb"
        ) as target:
            target.write(source.read())
    os.makedirs(worker, 0o700, exist_ok=True)
    with tarfile.open(os.path.join(IN, "worker", "worker.tar.gz")) as tar:
        # It is our own, from this namespace; newer Pythons want to be told how far it is trusted.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(worker)
    path = os.path.join(directory, "store")
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        store: "Dict[str, Any]" = json.load(file)
    os.unlink(path)  # nobody else needs what opens the store
    for name, (url, digest, length, _) in store["get"].items():
        parcels.get(url, os.path.join(directory, name), digest, length)
    return store


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


def speak(work: str, directory: str, marker: str, url: str) -> None:
    """Say how it ended, and all results where they are small, or that they are in the store: then nobody needs to
    fetch them from here."""
    with open(marker) as file:
        words = file.readline().strip()[:200]
    plan = giving.Plan(directory, os.path.join(*directory.split(os.sep)[-3:]))
    whole = ""
    if len(plan) <= LARGEST:
        stream = gzip.compress(b"".join(plan.pieces()), 9)
        whole = base64.b64encode(stream).decode("ascii")
    if len(plan) > LARGEST or len(words.encode("utf-8")) + len(whole) >= FITS:
        whole = stored(url, plan)
    giving.say(words + "\n" + whole)
    if whole:
        open(os.path.join(work, "said"), "w").close()


def stored(url: str, plan: giving.Plan) -> str:
    """Put results into the store, where there is one, and return what to say of it; "": they wait in the pod."""
    if not url:
        return ""
    try:
        parcels.put(url, plan.pieces, len(plan))
    except parcels.Refused as error:
        sys.stderr.write("clustrix: the result waits in the pod: %s\n" % error)
        return ""
    return "store %d" % len(plan)


COMMANDS: "Dict[str, Callable[..., int]]" = {
    "task": task,
    "keep": keeper.keep,
    "give": keeper.give,
    "release": keeper.release,
    "probe": probe,
}

if __name__ == "__main__":
    try:
        sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
    except parcels.Refused as error:
        giving.say("clustrix: %s" % error)
        sys.exit(str(error))
