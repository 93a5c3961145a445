"""The walk over all that a function reaches: the surest ways first, and of those the shortest."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from clustrix_core.reach import live, static
from clustrix_core.reach.graph import Definition, Doubt, Edge, File, Live, Module, Need, Node, Place, Step
from clustrix_core.reach.world import World

_LONGEST = 30  # steps of a chain that are told, the last ones
_MOST = 50_000  # things that are reached; whoever reaches more has got lost


@dataclass(frozen=True, eq=False)
class Visit:
    """A thing that was reached, by which edge and from where."""

    edge: Edge
    before: Visit | None
    need: Need

    @property
    def why(self) -> tuple[Step, ...]:
        """The chain of names from the function to the thing, each with the line that names it; its end, if long."""
        steps: list[Step] = []
        visit: Visit | None = self
        while visit is not None and len(steps) < _LONGEST:
            steps.append(Step(visit.edge.name, visit.edge.place))
            visit = visit.before
        if visit is not None:
            steps.append(Step("…", visit.edge.place))
        return tuple(reversed(steps))


class Walk:
    """``visits`` and ``doubts``, each with the visit that it came from, in the order in which they were reached."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.visits: dict[tuple[Node, bool], Visit] = {}
        self.doubts: dict[Doubt, Visit] = {}
        self.complete = True
        self._waiting: dict[Need, deque[Visit]] = {need: deque() for need in Need}

    def go(self, first: Edge) -> None:
        """Reach all that there is to be reached from a thing."""
        self._waiting[first.need].append(Visit(first, None, first.need))
        while (visit := self._next()) is not None:
            node = visit.edge.node
            held = visit.edge.held and not isinstance(node, Module)
            if (node, held) in self.visits or (node, False) in self.visits:
                self._more_parts(visit)
                continue
            if len(self.visits) >= _MOST:
                self.complete = False
                return
            self.visits[node, held] = visit
            for one in self._leaving(node):
                self._take(one, visit)

    def _next(self) -> Visit | None:
        return next((queue.popleft() for queue in self._waiting.values() if queue), None)

    def _take(self, one: Edge | Doubt, visit: Visit) -> None:
        # What travels as a part of a module need not be run by anybody.
        held = visit.edge.held and not isinstance(visit.edge.node, Module)
        unused = Need.PERHAPS if held and (isinstance(one, Doubt) or one.body) else Need.CERTAIN
        need = max(one.need, visit.need, unused)
        if isinstance(one, Edge):
            self._waiting[need].append(Visit(one, visit, need))
        elif need <= Need.OPTIONAL or one.need == need:
            self.doubts.setdefault(one, visit)

    def _more_parts(self, visit: Visit) -> None:
        """Of a package that several distributions share each part is looked at."""
        node = visit.edge.node
        if isinstance(node, Module) and node.parts and self.world.find(node.name).file is None:
            key = (Module(f"{node.name}.{node.parts[0]}", node.parts[1:]), False)
            if self.world.find(key[0].name).kind == "installed":
                self.visits.setdefault(key, visit)

    def _leaving(self, node: Node) -> Iterator[Edge | Doubt]:
        try:
            yield from self._edges(node)
        except RecursionError:
            yield Doubt(f"{node} is nested too deeply to be read whole", self._place_of(node))

    def _place_of(self, node: Node) -> Place:
        return next(visit.edge.place for (one, _), visit in self.visits.items() if one == node)

    def _edges(self, node: Node) -> Iterable[Edge | Doubt]:
        if isinstance(node, Live):
            return live.edges(self.world, node.value)
        if isinstance(node, Definition):
            return static.definition(self.world, node)
        if isinstance(node, File) or self.world.find(node.name).kind != "own":
            return ()
        module = sys.modules.get(node.name) if self.world.live else None
        return (
            static.module(self.world, node.name)
            if not isinstance(module, ModuleType)
            else live.contents(self.world, module)
        )
