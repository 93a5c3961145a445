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
        """Begin to record what these plugins are asked and what the caller gets: outside of other wrappers."""
        ears = _Ears()
        for hook in JOBS | MACHINES:
            setattr(ears, hook, hookspecs.hookimpl(wrapper=True, tryfirst=True)(self._wrapper(hook)))
        for hook in LISTENERS:
            setattr(ears, hook, hookspecs.hookimpl(self._listener(hook)))
        plugins.register(ears, name)

    def _wrapper(self, hook: str) -> Callable[..., Any]:
        def note(given: Mapping[str, Any]) -> Generator[None, Any, Any]:
            try:
                answer = yield
            except BaseException as error:
                self.append(HookCall(hook, given, error=error))
                raise
            self.append(HookCall(hook, given, answer))
            return answer

        return _taking(hook, "return (yield from note(locals()))", note)

    def _listener(self, hook: str) -> Callable[..., Any]:
        return _taking(hook, "note(locals())", lambda given: self.append(HookCall(hook, given)))


class _Ears:
    """The plugin that a recorder registers."""


def _taking(hook: str, body: str, note: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with the parameters of a hook: pluggy gives each what its code says that it takes."""
    words = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    names: dict[str, Any] = {"note": note}
    exec(f"def {hook}({words}):\n    {body}", names)
    made: Callable[..., Any] = names[hook]
    return made
