"""The key of the job: read only where nobody else can have read it, or have put another in its place."""

import os

# work_dir/jobs/<first 2 hex>/<job id>: the directories that must be ours alone.
_LEVELS = 4


def read(path: str) -> bytes:
    """Return the key. Where somebody else may know it, or have put it there, the task ends: nothing is signed with it.

    What lies behind a directory that others cannot enter is as closed as that, whatever its own mode.
    """
    names = path.split(os.sep)
    directories = [os.sep.join(names[:end]) or os.sep for end in range(1, len(names))]
    reachable = True
    for number, directory in enumerate(directories, _LEVELS - len(directories)):
        found = os.lstat(directory)
        if number >= 0:
            _insist(directory, found, 0o022 if reachable else 0, "write to")
        reachable = reachable and bool(found.st_mode & 0o011)
    with open(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        _insist(path, os.fstat(file.fileno()), 0o077 if reachable else 0, "read")
        return bytes.fromhex(file.read().strip())


def _insist(path: str, found: os.stat_result, others: int, verb: str) -> None:
    if found.st_uid != os.geteuid():
        raise SystemExit("clustrix: refused: %s belongs to somebody else (user %d)" % (path, found.st_uid))
    if found.st_mode & others:
        mode = found.st_mode & 0o777
        raise SystemExit("clustrix: refused: others can %s %s, which has mode %o" % (verb, path, mode))
