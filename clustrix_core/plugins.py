"""Finding, loading and vetting plugins. One that breaks the rules is refused here, by name, at nobody else's cost."""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from clustrix_core import hookspecs
from clustrix_core.errors import BackendNotInstalled, PluginError
from clustrix_core.model import BackendInfo

SLOW_IMPORT = 5.0  # seconds after which an import that is still going on is named on stderr
JOBS = frozenset({"check", "render_script", "submit", "find", "status", "fetch", "logs", "cancel"})
MACHINES = frozenset({"provision", "release"})
LISTENERS = frozenset({"job_changed", "register_commands"})
EXTRAS = ("ssh", "slurm", "pbs", "sge", "k8s")  # backends of ours that `pip install "clustrix[NAME]"` brings

Answer = tuple[str, Mapping[str, Any]]  # the hook and how the plugin marked its function


@dataclass
class Plugins:
    """The plugins of this process. ``broken`` holds what went wrong with those that could not be used, ``disputed``
    the backends that two of them claim: nobody answers for those until one is gone."""

    manager: pluggy.PluginManager = field(default_factory=lambda: _manager())
    backends: dict[str, BackendInfo] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)
    disputed: dict[str, str] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    innermost: list[tuple[Any, str]] = field(default_factory=list)

    def register(self, plugin: Any, name: str) -> None:
        """Vet a plugin and let it in. Raises PluginError with its name, and the other's where two clash."""
        answers = list(_answers(self.manager, plugin, name))
        info = _describe(answers, name)
        _vet(plugin, name, answers, info)
        if info is not None and info.name in self.owners:
            self.disputed[info.name] = name
            raise self._dispute(info.name)
        try:
            self.manager.register(plugin, name)
        except (ValueError, pluggy.PluginValidationError) as error:
            if self.manager.get_plugin(name) is plugin:  # pluggy stops half-way
                self.manager.unregister(name=name)
            raise PluginError(f"plugin {name!r}: {error}", plugin=name) from error
        if info is not None:
            self.backends[info.name], self.owners[info.name] = info, name
        self._keep_innermost()

    def _dispute(self, backend: str) -> PluginError:
        first, second = self.owners[backend], self.disputed[backend]
        return PluginError(
            f"plugins {first!r} and {second!r} both claim the backend {backend!r}",
            plugin=second,
            hint=f"Uninstall one, or set CLUSTRIX_DISABLE_PLUGINS={second}.",
        )

    def register_innermost(self, plugin: Any, name: str, *, outside: bool = False) -> None:
        """Register a wrapper that stays inside all others, whichever come later; ``outside``: but for its like."""
        self.innermost.insert(0 if outside else len(self.innermost), (plugin, name))
        self._keep_innermost()

    def _keep_innermost(self) -> None:
        # pluggy puts the latest trylast wrapper inside the earlier ones, so ours must be the latest.
        for plugin, name in self.innermost:
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            self.manager.register(plugin, name)

    def load(self) -> None:
        """Load all installed plugins but those named in ``CLUSTRIX_DISABLE_PLUGINS``."""
        self.disabled = tuple(filter(None, os.environ.get("CLUSTRIX_DISABLE_PLUGINS", "").replace(" ", "").split(",")))
        for name, points in _points():
            if name in self.disabled or self.manager.has_plugin(name):
                continue
            try:
                self.register(_import(points), name)
            except Exception as error:  # a plugin may raise anything; it is listed with its error
                self.broken[name] = error

    def backend(self, name: str) -> BackendInfo:
        """Return what a backend says of itself. Raises BackendNotInstalled or what broke its plugin."""
        if name in self.disputed:
            raise self._dispute(name)
        if name in self.backends:
            return self.backends[name]
        if name in self.broken:
            error = self.broken[name]
            raise PluginError(f"plugin {name!r} could not be used: {error}", plugin=name) from error
        if name in self.disabled:
            raise PluginError(f"plugin {name!r} is switched off by CLUSTRIX_DISABLE_PLUGINS", plugin=name)
        known = ", ".join(sorted(self.backends))
        hint = f'Install it: pip install "clustrix[{name}]"' if name in EXTRAS else "Install the plugin that brings it."
        if self.broken or self.disabled:  # a plugin that was never registered could not say which backend it is
            hint += f" Not in use: {', '.join([*sorted(self.broken), *self.disabled])}; see `clustrix plugins`."
        raise BackendNotInstalled(
            f"no installed plugin answers for the backend {name!r} (there are: {known})", hint=hint
        )

    def others(self, backend: str) -> list[Any]:
        """Return the plugins of all backends but this one."""
        mine = self.owners[backend]
        return [self.manager.get_plugin(owner) for owner in self.owners.values() if owner != mine]


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def _points() -> Iterator[tuple[str, Sequence[EntryPoint]]]:
    """Yield the names of the installed plugins, each with all entry points of that name that differ."""
    found: dict[str, dict[str, EntryPoint]] = defaultdict(dict)
    for point in entry_points(group=hookspecs.GROUP):
        found[point.name].setdefault(point.value, point)
    for name in sorted(found):
        yield name, list(found[name].values())


def _import(points: Sequence[EntryPoint]) -> Any:
    """Import a plugin; name it on stderr while it takes long, so that nobody wonders what hangs."""
    point, *others = points
    if others:
        values = ", ".join(sorted(point.value for point in points))
        raise PluginError(f"several distributions bring a plugin {point.name!r}: {values}", plugin=point.name)
    slow = f"clustrix: importing the plugin {point.name!r} ({point.value}) takes over {SLOW_IMPORT:g} s"
    timer = threading.Timer(SLOW_IMPORT, lambda: print(slow, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        plugin = point.load()
    except SystemExit as error:
        raise PluginError(f"its import ended with sys.exit({error.code!r})", plugin=point.name) from error
    finally:
        timer.cancel()
    return plugin


def _answers(manager: pluggy.PluginManager, plugin: Any, name: str) -> Iterator[Answer]:
    known = {hook for hook in vars(hookspecs) if getattr(getattr(hookspecs, hook), "clustrix_spec", None)}
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        hook = options.get("specname") or attribute
        if hook not in known:
            raise PluginError(f"plugin {name!r} answers the hook {hook!r}, which does not exist", plugin=name)
        yield hook, {**options, "function": getattr(plugin, attribute)}


def _describe(answers: Sequence[Answer], name: str) -> BackendInfo | None:
    describe = next((options["function"] for hook, options in answers if hook == "describe_backend"), None)
    if describe is None:
        return None
    info = describe()
    if not isinstance(info, BackendInfo):
        raise PluginError(f"plugin {name!r}: describe_backend returned {info!r}, not a BackendInfo", plugin=name)
    if not is_dataclass(info.options) or not isinstance(info.options, type):
        raise PluginError(f"plugin {name!r}: its options are {info.options!r}, not a dataclass", plugin=name)
    return info


def _vet(plugin: Any, name: str, answers: Sequence[Answer], info: BackendInfo | None) -> None:
    hooks = {hook for hook, _ in answers}
    wraps = {hook for hook, options in answers if _is_wrapper(options)}
    for hook, options in answers:
        home = getattr(options["function"], "__module__", None) or ""
        if isinstance(plugin, ModuleType) and not _same_package(home, plugin.__name__):
            raise PluginError(f"plugin {name!r} imports its hook {hook!r} from {home!r}; write it there", plugin=name)
    if wraps & LISTENERS:
        # Listeners are called one by one, so there is no call of all that could be wrapped.
        raise PluginError(f"plugin {name!r} wraps {min(wraps & LISTENERS)}, which is only heard", plugin=name)
    if info is None:
        plain = sorted({hook for hook, options in answers if not _is_wrapper(options)} - LISTENERS)
        if plain:
            raise PluginError(
                f"plugin {name!r} describes no backend and yet answers {', '.join(plain)} for all of them",
                plugin=name,
                hint="Mark it @hookimpl(wrapper=True), or add describe_backend.",
            )
        return
    if wraps:
        raise PluginError(
            f"plugin {name!r} is the backend {info.name!r} and wraps {', '.join(sorted(wraps))}: "
            "the wrapper would vanish on other backends",
            plugin=name,
            hint="Put the wrappers into a plugin of their own.",
        )
    needed = MACHINES if hooks >= MACHINES and "submit" not in hooks else JOBS
    missing = sorted(needed - hooks)
    if missing:
        raise PluginError(f"plugin {name!r} (backend {info.name!r}) lacks {', '.join(missing)}", plugin=name)


def _is_wrapper(options: Mapping[str, Any]) -> bool:
    return bool(options["wrapper"] or options["hookwrapper"])


def _same_package(module: str, plugin: str) -> bool:
    if plugin.startswith("clustrix_core."):  # only the package of core's own backends: core is much more than them
        return module.rpartition(".")[0] == plugin.rpartition(".")[0]
    return module.split(".")[0] == plugin.split(".")[0]
