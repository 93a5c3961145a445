"""Environments under way: jobs that need one wait for its one build, and no job of another kind waits with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from clustrix_core import environments, payload
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import places
from clustrix_core.engine.flight import Flight
from clustrix_core.environments import Recipe
from clustrix_core.errors import BuildFailed, ClustrixError
from clustrix_core.model import Cluster
from clustrix_core.resources import Resources

if TYPE_CHECKING:
    from clustrix_core.engine.engine import Engine

BUILDERS = 4  # different environments that one process builds at a time
BUILDS = 2  # of one job: an environment that is gone again after them is removed by somebody
_Place = tuple[str, str]


class Builds:
    """The environments that this process waits for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(BUILDERS, "clustrix build")
        self._waiting: dict[_Place, list[Flight]] = {}
        self._failed: dict[_Place, tuple[float, BuildFailed]] = {}
        self._lock = threading.Lock()

    def wait_for(self, flight: Flight, cluster: Cluster, recipe: Recipe) -> None:
        """Submit a job once its environment is there, or let it fail. Returns at once.

        Raises BuildFailed for a job that was asked for before the last build of it failed: it was to have that one.
        """
        assert cluster.site is not None
        place = (flight.entry.place, recipe.key(cluster.site))
        flight.builds += 1
        if flight.builds > BUILDS:
            raise BuildFailed(
                f"the environment {recipe.name} was built and is gone again",
                environment=place[1],
                hint="Does somebody clean work_dir, or do its login nodes see different files?",
            )
        with self._lock:
            ended, error = self._failed.get(place, (0.0, None))
            if error is not None and flight.entry.created < ended:
                raise _again(error)
            if place in self._waiting:
                self._waiting[place].append(flight)
                return
            self._waiting[place] = [flight]
        try:
            self._pool.submit(self._build, place, cluster, recipe)
        except RuntimeError:  # the interpreter is on its way out, and waits for this thread
            self._build(place, cluster, recipe)

    def close(self) -> None:
        """Finish what is being built."""
        self._pool.shutdown(wait=True)

    def build(self, cluster: Cluster, recipe: Recipe, settings: ClusterConfig) -> Mapping[str, Any]:
        """Have an environment built and wait for it; return what is known of it. Raises BuildFailed."""
        assert cluster.site is not None
        key = recipe.key(cluster.site)
        job = (lambda line: self._as_job(line, key, recipe, settings)) if recipe.build == "job" else None
        return environments.build(recipe, key, cluster, job)

    def _build(self, place: _Place, cluster: Cluster, recipe: Recipe) -> None:
        error: BaseException | None = None
        try:
            with self._lock:
                settings = places.from_json(self._waiting[place][0].entry.settings)
            self.build(cluster, recipe, settings)
        except BaseException as raised:
            error = raised
        with self._lock:
            waiting = self._waiting.pop(place)
            if isinstance(error, BuildFailed):
                self._failed[place] = (time.time(), error)
        for flight in waiting:
            if error is None:
                self._engine.submissions.go_on(flight)
            else:
                self._engine.submissions.refuse(flight, _again(error) if isinstance(error, BuildFailed) else error)

    def _as_job(self, line: str, key: str, recipe: Recipe, settings: ClusterConfig) -> None:
        """Run a shell line as a job of the same cluster and wait for its end. Raises what it ends with."""
        from clustrix_core.engine.engine import Request

        resources: Resources = settings.resources.but(modules=recipe.modules)
        done: Future[object] = Future()

        def deliver(call: int, value: object, error: BaseException | None) -> None:
            done.set_result(value) if error is None else done.set_exception(error)

        request = Request(
            label=f"environment-{key}",
            kind="command",
            settings=settings,
            resources=resources,
            calls=1,
            pack=lambda directory, python: payload.pack_command(directory, line),
            sources={},
        )
        self._engine.submit(request, deliver)
        done.result()


def _again(error: BuildFailed) -> ClustrixError:
    """Return the same error for another job: an exception is raised once."""
    return BuildFailed(error.args[0], **vars(error))


__all__ = ["Builds"]
