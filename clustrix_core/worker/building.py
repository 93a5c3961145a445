"""``environment KEY``: an environment is built once, whoever asks, and however many ask at a time.

``envs/<key>`` holds ``lock-<n>`` (who builds, for the n-th time: its time of change is the builder's heartbeat),
``log-<n>``, ``ended-<n>`` (how that ended), the environment itself, ``build-<n>``, the link ``env`` to it, and
``complete``. The builder with the highest number is the one that counts. Locks are made with O_EXCL and never removed,
so one builder at most takes over from a dead one.
"""

import json
import os
import shutil
import sys
import threading
import time
import traceback

from clustrix_core.worker import installing, machine, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

SAY = "clustrix-env"  # begins every line that is for the client: modules may talk
BEAT = 2.0
# Heartbeats of another host come through a network file system, whose attributes may be a minute old.
DEAD = 90.0
_LOOK = 0.2
_ALIVE = 5.0  # seconds between two signs of life for the client
TRIES = 3  # builders that one client starts, each after the death of the one before
KEPT = 65536  # bytes of a log that a newcomer is shown


def command(key: str, mode: str) -> int:
    """Run in work_dir. ``build``: start a builder and follow it, ``here``: be the builder, ``stage``: only tell.

    The recipe is JSON on stdin; in the mode ``here`` it lies where ``stage`` has put it. What is said are lines
    ``clustrix-env WORD JSON``: have (built already, or now), need (files that have to be sent first), last (the recipe
    of the environment that was used last), log, failed.
    """
    place = Place(os.path.join("envs", key))
    if mode == "here":
        with open(os.path.join(place.path, "recipe.json"), encoding="utf-8") as file:
            recipe = json.load(file)
    else:
        recipe = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    place.make()
    asked = place.newest()
    if place.complete():
        say("have", place.facts())
        return 0
    missing = [one for one in installing.needed(recipe) if not os.path.exists(installing.stored(one))]
    if missing:
        say("need", missing)
        return 0
    if mode == "stage":
        place.write("recipe.json", recipe)
        say("last", last_recipe(place.path))
        if asked and place.ended(asked):
            say("failed", place.ended(asked))
        return 0
    failed = place.follow_or_build(recipe, mode == "here")
    if failed is None:
        say("have", place.facts())
        return 0
    say("failed", failed)
    return 1


def say(word: str, what: "Any") -> None:
    """Tell the client something."""
    print("%s %s %s" % (SAY, word, json.dumps(what)), flush=True)


def last_recipe(but: str) -> "Optional[Dict[str, Any]]":
    """Return the recipe of the environment that was used last, but for one."""
    found = []
    for name in os.listdir("envs"):
        path = os.path.join("envs", name)
        for mark in ("used", "complete"):
            if path != but and os.path.exists(os.path.join(path, "complete")):
                try:
                    found.append((os.path.getmtime(os.path.join(path, mark)), path))
                except OSError:
                    pass
    try:
        with open(os.path.join(max(found)[1], "recipe.json"), encoding="utf-8") as file:
            return dict(json.load(file))
    except (ValueError, OSError):
        return None


def size(path: str) -> int:
    """Return the bytes of the files under a directory; links count as nothing."""
    found = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                found += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass
    return found


class Place:
    """The directory of one environment."""

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)

    def name(self, name: str) -> str:
        return os.path.join(self.path, name)

    def complete(self) -> bool:
        os.listdir(self.path)  # a network file system looks anew
        return os.path.exists(self.name("complete"))

    def facts(self) -> "Dict[str, Any]":
        """Return what is known of a complete environment."""
        return self._read("complete") or {}

    def ended(self, number: int) -> "Optional[Dict[str, Any]]":
        """Return how a build ended; None while it goes on, or where its builder has died."""
        return self._read("ended-%d" % number)

    def recipe(self) -> "Optional[Dict[str, Any]]":
        return self._read("recipe.json")

    def newest(self) -> int:
        """Return the number of the builder that counts, 0 where there has been none."""
        numbers = [name[5:] for name in os.listdir(self.path) if name.startswith("lock-")]
        return max([int(number) for number in numbers if number.isdigit()] or [0])

    def claim(self, number: int) -> bool:
        """Become the builder of that number; False where somebody else is."""
        try:
            file = os.open(self.name("lock-%d" % number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        os.close(file)
        return True

    def write(self, name: str, what: "Any") -> None:
        """Write JSON that is there whole or not at all."""
        new = self.name("%s.%d.new" % (name, os.getpid()))
        with open(new, "w", encoding="utf-8") as file:
            json.dump(what, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.name(name))

    def _read(self, name: str) -> "Optional[Dict[str, Any]]":
        try:
            with open(self.name(name), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError):
            return None

    def follow_or_build(self, recipe: "Dict[str, Any]", here: bool) -> "Optional[Dict[str, Any]]":
        """Wait for whoever builds, or become the builder; return None once it is complete, else why it is not."""
        number, fresh, built = self.newest(), True, 0
        while not self.complete():
            failed = self.ended(number) if number else None
            if failed is not None and not fresh:
                return failed
            if not number or failed is not None or Watch(self, number).dies():
                if built == TRIES:
                    return {
                        "why": "%d builders have died; see log-%d in %s" % (built, number, os.path.abspath(self.path))
                    }
                if self.claim(number + 1):
                    built += 1
                    say("last", last_recipe(self.path))
                    builder = Builder(self, number + 1, recipe)
                    builder.run() if here else builder.leave_behind()
            fresh = False
            number = self.newest()
        return None


class Watch:
    """Follows a builder: passes its log on, and notices its death."""

    def __init__(self, place: Place, number: int) -> None:
        self.place, self.number = place, number
        self._at = 0
        self._said = time.monotonic()

    def dies(self) -> bool:
        """Wait for the end of a build; True where its builder has died before."""
        beat, since = self._beat(), time.monotonic()
        while True:
            over = self.place.ended(self.number) is not None or self.place.complete()
            self._pass_on()
            if over:
                return False
            if self.place.newest() > self.number:
                return False
            now = self._beat()
            if now != beat:
                beat, since = now, time.monotonic()
            if time.monotonic() - since > DEAD or self._killed():
                return self.place.ended(self.number) is None
            time.sleep(_LOOK)

    def _beat(self) -> "Any":
        try:
            return os.stat(self.place.name("lock-%d" % self.number)).st_mtime
        except OSError:
            return None

    def _killed(self) -> bool:
        """Return whether it was a process of this host that is no more."""
        owner = self.place._read("owner-%d" % self.number)
        if owner is None or owner["host"] != machine.host():
            return False
        found = processes.look(owner["pid"])
        return found is None or found.began != owner["began"]

    def _pass_on(self) -> None:
        try:
            with open(self.place.name("log-%d" % self.number), "rb") as file:
                if not self._at:
                    self._at = max(os.fstat(file.fileno()).st_size - KEPT, 0)
                file.seek(self._at)
                new = file.read()
        except OSError:
            new = b""
        self._at += len(new)
        if new or time.monotonic() - self._said > _ALIVE:
            self._said = time.monotonic()
            say("log", new.decode("utf-8", "replace"))


class Builder:
    """Builds. It goes on when the connection that has started it breaks."""

    def __init__(self, place: Place, number: int, recipe: "Dict[str, Any]") -> None:
        self.place, self.number, self.recipe = place, number, recipe

    def leave_behind(self) -> None:
        """Run in a process that hears of neither us nor our terminal."""
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            return
        try:
            os.setsid()
            if not os.fork():
                nothing = os.open(os.devnull, os.O_RDWR)
                for number in (0, 1, 2):
                    os.dup2(nothing, number)
                self.run()
        finally:
            os._exit(0)

    def run(self) -> None:
        """Build; whatever happens, how it ended is written down."""
        me = processes.look(os.getpid())
        owner = {"host": machine.host(), "pid": os.getpid(), "began": me.began if me else 0}
        self.place.write("owner-%d" % self.number, owner)
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(over,), daemon=True)
        heart.start()
        begun = time.time()
        with open(self.place.name("log-%d" % self.number), "ab", buffering=0) as log:
            python, failed = self._try(log)
        over.set()
        heart.join()
        target = "build-%d" % self.number
        if failed is None and self.place.newest() == self.number:
            facts = {"seconds": round(time.time() - begun, 1), "built": time.time(), "host": owner["host"]}
            self._publish(target, dict(facts, python=python, bytes=size(self.place.name(target))))
            return
        shutil.rmtree(self.place.name(target), ignore_errors=True)
        self.place.write("ended-%d" % self.number, {"why": failed or "another builder has taken over"})

    def _try(self, log: "Any") -> "Tuple[str, Optional[str]]":
        """Return the version of the Python in what was built, and why it was not."""
        try:
            target = os.path.abspath(self.place.name("build-%d" % self.number))
            return installing.install(self.recipe, target, log), None
        except installing.Failed as error:
            return "", str(error)
        except Exception as error:
            log.write(traceback.format_exc().encode("utf-8", "replace"))
            return "", "%s: %s" % (type(error).__name__, error)

    def _publish(self, target: str, facts: "Dict[str, Any]") -> None:
        link = self.place.name("env.%d.new" % self.number)
        self.place.write("recipe.json", self.recipe)
        os.symlink(target, link)
        os.replace(link, self.place.name("env"))
        self.place.write("complete", facts)
        self.place.write("ended-%d" % self.number, {"why": ""})

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            try:
                os.utime(self.place.name("lock-%d" % self.number))
            except OSError:
                pass
