"""Building on the cluster: what is missing is sent, the build is followed, and how it ends is told."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustrix_core import bundle
from clustrix_core.batch import archive
from clustrix_core.batch.script import modules, python
from clustrix_core.batch.site import where
from clustrix_core.config import home
from clustrix_core.environments import changes, tools
from clustrix_core.environments.recipe import Recipe
from clustrix_core.environments.talk import Lines
from clustrix_core.errors import BuildFailed, CommandError, TransportError
from clustrix_core.model import Cluster
from clustrix_core.transport import check

log = logging.getLogger("clustrix.environments")
TRIES = 5  # connections that may break during one build
_PAUSE = 2.0
_TAIL = 3000  # characters of the log that an error shows
_RECEIVE = (
    "mkdir -p envs/files && cd envs/files && new=$(mktemp -d ./.new.XXXXXX) && tar -xof - -C $new || exit 65;"
    # Somebody else may have been faster.
    " for one in $new/*; do mv -- $one . 2>/dev/null; done; rm -rf $new"
)


def build(recipe: Recipe, key: str, cluster: Cluster, job: Callable[[str], None] | None = None) -> Mapping[str, Any]:
    """Have an environment built, or wait for whoever builds it; return what is known of it.

    ``job`` runs a shell line as a job there and waits for it; without it the login node builds. Raises BuildFailed in
    the words of the installer, and TransportError when the cluster cannot be reached: the build goes on then.
    """
    talk = _Talk(recipe, key, cluster)
    if job is None:
        return talk.ended(talk.ask("build"))
    if not (facts := talk.ask("stage")):
        talk.tell_reason()
        directory = shlex.quote(cluster.site.work_dir if cluster.site else cluster.work_dir)
        builder = f"{python(cluster)} worker/{bundle.digest()} environment {key} here"
        failed = _run(job, f"cd -- {directory} && exec {builder}")
        facts = talk.ask("stage")
        if failed is not None and not (facts or talk.failed):
            raise failed
    return talk.ended(facts)


def _run(job: Callable[[str], None], line: str) -> Exception | None:
    try:
        job(line)
    except Exception as error:
        return error
    return None


class _Talk:
    """What the builder says about one environment."""

    def __init__(self, recipe: Recipe, key: str, cluster: Cluster) -> None:
        self.recipe, self.key, self.cluster = recipe, key, cluster
        self.facts: Mapping[str, Any] | None = None
        self.failed: str | None = None
        self._last: Mapping[str, Any] | None = None
        self._needed: Sequence[Mapping[str, str]] = ()
        self._log = ""
        self._began = time.monotonic()
        self._told = False
        self._files = {"pip": tools.pip(home() / "wheels"), "uv": None}
        if recipe.manager in ("auto", "uv") and cluster.site:
            self._files["uv"] = tools.uv(cluster.site)

    def ended(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is known of an environment that is there. Raises BuildFailed where it is not."""
        if not facts:
            raise self.error()
        return facts

    def ask(self, mode: str) -> Mapping[str, Any]:
        """Say what is wanted, until it is there or has failed; return what is known of it where it is there."""
        for _ in range(3):
            needed = self._exchange(mode)
            if not needed:
                return self.facts or {}
            self._send(needed)
        raise BuildFailed("files that were sent did not arrive", cluster=self.cluster.name, environment=self.key)

    def _exchange(self, mode: str) -> Sequence[Mapping[str, str]]:
        """Listen to the end; return the files that have to be sent before."""
        self.facts, self.failed, self._needed = None, None, ()
        for left in reversed(range(TRIES)):
            try:
                self._once(mode)
                break
            except TransportError as error:
                if not left:
                    raise
                log.info("%s: asking for environment %s again: %s", self.cluster.name, self.key, error)
                time.sleep(_PAUSE)
        return self._needed

    def _once(self, mode: str) -> None:
        load = "; ".join(modules(self.cluster.resources)) or ":"
        command = (
            f"umask 077; cd -- {where(self.cluster)} || exit 65; {{ {load}; }} </dev/null;"
            f" exec {python(self.cluster)} worker/{bundle.digest()} environment {self.key} {mode}"
        )
        files = {name: _plain(file) for name, file in self._files.items()}
        recipe = json.dumps({**self.recipe.to_json(), **files}).encode()
        lines = Lines(self._hear)
        completed = self.cluster.transport.run(command, [recipe], lines.feed)
        if not lines.heard:
            check(completed, f"building the environment {self.recipe.name}", cluster=self.cluster.name)
            raise CommandError("the builder said nothing", cluster=self.cluster.name, transient=True)

    def _hear(self, word: str, what: Any) -> None:
        if word == "have":
            self.facts = what
            if self._told:
                took = time.monotonic() - self._began
                _tell(f"{self.cluster.name}: the environment {self.recipe.name} is ready, after {took:.0f} s")
        elif word == "need":
            self._needed = what
        elif word == "last":
            self._last = what
            self._told = self._told or self.recipe.build == "job"
            if not self._told:
                self.tell_reason()
        elif word == "failed":
            self.failed = str(what["why"])
        elif word == "log" and what:
            self._log = (self._log + what)[-10 * _TAIL :]
            for line in what.splitlines():
                log.debug("%s: %s", self.key, line)

    def tell_reason(self) -> None:
        self._told = True
        why = changes.reason(self.recipe, self._last)
        _tell(f"{self.cluster.name}: building the environment {self.recipe.name} ({self.key}): {why}")

    def _send(self, needed: Sequence[Mapping[str, str]]) -> None:
        tools_too = [file for file in self._files.values() if file]
        known = {file.sha256: file for file in (*self.recipe.wheels, *self.recipe.local, *tools_too)}
        files = [known[one["sha256"]] for one in needed if one["sha256"] in known]
        stream = archive.stream({f"{file.sha256}/{file.name}": Path(file.path) for file in files})
        command = f"umask 077; cd -- {where(self.cluster)} || exit 65; {_RECEIVE}"
        check(self.cluster.transport.run(command, stream), "sending wheels", cluster=self.cluster.name)

    def error(self) -> BuildFailed:
        return BuildFailed(
            f"the environment {self.recipe.name} could not be built: {self.failed}",
            cluster=self.cluster.name,
            environment=self.key,
            reason=self.failed,
            log=self._log[-_TAIL:],
            hint=f"{self._advice()} Its whole log: clustrix env show {self.key} --log",
        )

    def _advice(self) -> str:
        site = self.cluster.site
        if self.recipe.version or site is None or site.python == sys.version_info[:2]:
            return "Correct what it lists."
        return (
            "The Python over there is {}.{}: versions that are here may not exist for it. Name those that do, "
            'as environment: ["numpy>=1.19"].'.format(*site.python)
        )


def _plain(file: Any) -> dict[str, str] | None:
    return {"name": file.name, "sha256": file.sha256} if file else None


def _tell(text: str) -> None:
    """Say it where people look: in the log, and at a terminal."""
    log.info(text)
    if sys.stderr is not None and sys.stderr.isatty() and not log.isEnabledFor(logging.INFO):
        print(f"clustrix: {text}", file=sys.stderr, flush=True)


__all__ = ["build"]
