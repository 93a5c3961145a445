"""Who was asked what: a plugin that wraps every hook and hears every event."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from clustrix_core import hookspecs
from clustrix_core.plugins import JOBS, LISTENERS, MACHINES, Plugins


@dataclass(frozen=True)
class HookCall:
    """One call of a hook: its arguments by name, and the answer, or the error that was raised in its place."""

    hook: str
    arguments: Mapping[str, Any]
    answer: Any = None
    error: BaseException | None = None


class _Plugin:
    """What is registered: attributes, and a hash, which pluggy asks of plugins."""

    def __init__(self, hooks: Mapping[str, Callable[..., Any]]) -> None:
        vars(self).update(hooks)


class Recorder(list[HookCall]):
    """The calls in the order in which they ended."""

    def of(self, hook: str) -> list[HookCall]:
        """Return the calls of one hook."""
        return [call for call in self if call.hook == hook]

    @property
    def hooks(self) -> list[str]:
        """The names of the hooks that were called, in order."""
        return [call.hook for call in self]

    def listen(self, plugins: Plugins, name: str = "recorder") -> None:
        """Begin to record what the plugins of this registry are asked."""
        wrappers = {hook: self._wrapper(hook) for hook in JOBS | MACHINES}
        heard = {hook: self._listener(hook) for hook in LISTENERS}
        plugins.register(_Plugin({**wrappers, **heard}), name)

    def _wrapper(self, hook: str) -> Callable[..., Any]:
        signature = inspect.signature(getattr(hookspecs, hook))

        def wrap(*arguments: Any) -> Generator[None, Any, Any]:
            given = dict(zip(signature.parameters, arguments, strict=True))
            try:
                answer = yield
            except BaseException as error:
                self.append(HookCall(hook, given, error=error))
                raise
            self.append(HookCall(hook, given, answer))
            return answer

        return _as(hookspecs.hookimpl(wrapper=True), wrap, hook, signature)

    def _listener(self, hook: str) -> Callable[..., Any]:
        signature = inspect.signature(getattr(hookspecs, hook))

        def hear(*arguments: Any) -> None:
            self.append(HookCall(hook, dict(zip(signature.parameters, arguments, strict=True))))

        return _as(hookspecs.hookimpl, hear, hook, signature)


def _as(mark: Any, function: Callable[..., Any], hook: str, signature: inspect.Signature) -> Callable[..., Any]:
    """Return a function that takes what a hook takes."""
    function.__name__ = hook
    function.__signature__ = signature  # type: ignore[attr-defined]
    marked: Callable[..., Any] = mark(function)
    return marked
