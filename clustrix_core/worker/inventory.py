"""``environments MODE``: which environments there are in this work_dir, and away with some of them."""

import os
import shutil
import sys

from clustrix_core.worker.building import KEPT, Place, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Set

_HEX = set("0123456789abcdef")


def command(mode: str) -> int:
    """``list``: tell of all; ``log``: print the last log of the keys on stdin; ``remove``: remove those."""
    if mode == "list":
        say("environments", [described(key) for key in keys()])
        return 0
    wanted = [key for key in sys.stdin.read().split() if key in keys()]
    if mode == "log":
        for key in wanted:
            say("log", log(key))
    elif mode == "remove":
        say("removed", [key for key in wanted if remove(key)])
        _sweep()
    return 0


def keys() -> "List[str]":
    """Return the keys of all environments, complete or not."""
    if not os.path.isdir("envs"):
        return []
    return sorted(name for name in os.listdir("envs") if len(name) == 16 and set(name) <= _HEX)


def described(key: str) -> "Dict[str, Any]":
    """Return what is known of an environment. ``used``: when a job was last submitted with it."""
    place = Place(os.path.join("envs", key))
    number = place.newest()
    ended = place.ended(number) if number else None
    state = "complete" if place.complete() else "failed" if ended else "building" if number else "empty"
    used: "Optional[float]" = None
    for name in ("used", "complete"):
        if used is None and os.path.exists(place.name(name)):
            used = os.path.getmtime(place.name(name))
    path = os.path.abspath(place.name("env"))
    found = {"key": key, "state": state, "used": used, "path": path, "why": (ended or {}).get("why", "")}
    return dict(found, recipe=place.recipe(), facts=place.facts())


def log(key: str) -> str:
    """Return the end of the log of the latest build."""
    place = Place(os.path.join("envs", key))
    try:
        with open(place.name("log-%d" % place.newest()), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - KEPT, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def remove(key: str) -> bool:
    """Remove an environment, at once for whoever asks for it; False where somebody else does."""
    gone = os.path.join("envs", "gone.%s.%d" % (key, os.getpid()))
    try:
        os.rename(os.path.join("envs", key), gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _sweep() -> None:
    """Remove the files that no recipe names any more, and what an interrupted removal has left."""
    named: "Set[str]" = set()
    for key in keys():
        recipe = Place(os.path.join("envs", key)).recipe() or {}
        files = recipe.get("wheels", []) + recipe.get("local", []) + [recipe.get("pip"), recipe.get("uv")]
        named.update(file["sha256"] for file in files if file)
    files = os.path.join("envs", "files")
    for name in os.listdir(files) if os.path.isdir(files) else []:
        if name not in named:
            shutil.rmtree(os.path.join(files, name), ignore_errors=True)
    for name in os.listdir("envs"):
        if name.startswith("gone."):
            shutil.rmtree(os.path.join("envs", name), ignore_errors=True)
