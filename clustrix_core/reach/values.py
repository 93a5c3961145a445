"""What the value of an expression holds, as far as its source tells."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from clustrix_core.reach.graph import Need
from clustrix_core.reach.syntax import chain_of


@dataclass(frozen=True)
class Held:
    """A name whose value the expression's value holds; ``called``: it holds what a call of it has returned."""

    chain: tuple[str, ...]
    line: int
    called: bool = False
    need: Need = Need.CERTAIN


def held(expression: ast.expr, hidden: Collection[str] = ()) -> Iterator[Held | ast.Lambda]:
    """Yield the names and the lambdas that a value holds, but for the ``hidden`` ones.

    Comparisons and texts hold nothing but themselves.
    """
    waiting: list[tuple[ast.AST, Need]] = [(expression, Need.CERTAIN)]
    bound = {*hidden, *_comprehended(expression)}
    seen: set[tuple[object, ...]] = set()
    while waiting:
        node, need = waiting.pop()
        if isinstance(node, ast.Lambda):
            yield node
        elif (chain := chain_of(node)) is not None:
            if chain[0] not in bound and (chain, need) not in seen:
                seen.add((chain, need))
                yield Held(chain, getattr(node, "lineno", 0), need=need)
        elif isinstance(node, ast.Call):
            called = chain_of(node.func)
            if called is None:
                waiting += [(node.func.value, Need.GUESS)] if isinstance(node.func, ast.Attribute) else []
            elif called[0] not in bound:
                yield Held(called, node.lineno, called=True, need=need)
            waiting += [(one, need) for one in (*node.args, *(keyword.value for keyword in node.keywords))]
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            waiting += [(part, Need.GUESS) for part in (*parts, *(one.iter for one in node.generators))]
        elif not isinstance(node, (ast.Compare, ast.JoinedStr, ast.Constant)):
            test = node.test if isinstance(node, ast.IfExp) else None
            waiting += [(one, need) for one in ast.iter_child_nodes(node) if one is not test]


def _comprehended(expression: ast.expr) -> Iterator[str]:
    """Yield the variables of comprehensions: nobody else knows them."""
    for node in ast.walk(expression):
        if isinstance(node, ast.comprehension):
            yield from (one.id for one in ast.walk(node.target) if isinstance(one, ast.Name))
