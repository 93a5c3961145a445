"""Flags made of option dataclasses: the resources of a call, and what the installed backends understand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.resources import ALIASES, Resources

if TYPE_CHECKING:
    from clustrix_core.api.function import Options
    from clustrix_core.options import Flag, Origin

_METAVAR = {int: "N", float: "X", str: "TEXT"}
_LINES = dict.fromkeys(("directives", "setup", "teardown"), "LINE")
_WORDS = {"memory": "SIZE", "time": "TIME", "env": "NAME=VALUE", **_LINES}
_GIVEN = "clustrix.flags"
_ENVIRONMENT = "clustrix.environment"


class FieldOption(click.Option):
    """The flag of one field. What was given is kept in the context, by backend ("": resources) and field."""

    def __init__(self, flag: Flag, backend: str = "", mapping: bool = False) -> None:
        older = [f"--{old}" for old, new in ALIASES.items() if new == flag.field and not backend]
        names = [f"--{_dashed(flag.name)}", *older]
        given: dict[str, Any] = {"metavar": _WORDS.get(flag.field, _METAVAR.get(flag.type))}
        if flag.off is not None:
            names, given = [f"{flag.name}/{flag.off}"], {"default": None}
        elif flag.choices:
            given = {"type": click.Choice(flag.choices)}
        name = f"flag_{backend}_{flag.field}".replace("-", "_")
        super().__init__(
            [name, *names], multiple=flag.multiple, expose_value=False, callback=self._keep, help=flag.help, **given
        )
        self.backend, self.flag, self.mapping = backend, flag, mapping

    def _keep(self, context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is not None and value != ():
            given = context.meta.setdefault(_GIVEN, {}).setdefault(self.backend, {})
            # Given once, a list may be written with commas, as in an environment variable; a pair may hold commas.
            alone = isinstance(value, tuple) and len(value) == 1 and not self.mapping
            given[self.flag.field] = value[0] if alone else list(value) if isinstance(value, tuple) else value
        return value


def flags_of(cls: type, backend: str = "", prefix: str = "") -> Iterator[FieldOption]:
    """Yield the flags of an option dataclass."""
    from clustrix_core import options
    from clustrix_core.options.convert import MAPPINGS
    from clustrix_core.options.setting import members, shape_of

    known = options.settings(cls)
    for flag in options.flags(cls, prefix):
        mapping = any(shape_of(hint) in MAPPINGS for hint in members(known[flag.field].type))
        yield FieldOption(flag, backend, mapping)


def resource_flags() -> Iterator[FieldOption]:
    """Yield the flags of ``Resources``."""
    return flags_of(Resources)


def backend_flags() -> Iterator[FieldOption]:
    """Yield the flags of all installed backends: ``--slurm-reservation`` and the like."""
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.load()
    for name, info in sorted(plugins.backends.items()):
        yield from flags_of(info.options, name, name)


def environment_option() -> click.Option:
    """Return the option that says what is installed for a job."""

    def keep(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
        if value:
            context.meta[_ENVIRONMENT] = value[0] if len(value) == 1 else list(value)

    return click.Option(
        ["-e", "--environment"],
        multiple=True,
        metavar="TEXT",
        expose_value=False,
        callback=keep,
        help="What is installed for it, instead of what is configured: auto, a requirements file, requirements.",
    )


def given_options(context: click.Context, below: Options | None = None) -> Options:
    """Return ``below``, or the defaults, with what ``-c`` and the flags say. Raises ConfigError."""
    from clustrix_core.api.function import Options
    from clustrix_core.cli.state import State

    given: Mapping[str, Any] = context.meta.get(_GIVEN, {})
    below = below or Options()
    found = below.but(**given_resources(context))
    if _ENVIRONMENT in context.meta:
        found = found.but(environment=context.meta[_ENVIRONMENT])
    cluster = context.ensure_object(State).cluster
    if cluster is not None:
        found = found.but(cluster=cluster, backend=None)
    wanted = {backend: values for backend, values in given.items() if backend}
    return _with_backend_options(found, wanted) if wanted else found


def given_of(context: click.Context, group: str) -> Mapping[str, Any]:
    """Return what was given of one group of flags, by field, not yet checked."""
    found: Mapping[str, Any] = context.meta.get(_GIVEN, {}).get(group, {})
    return found


def given_resources(context: click.Context) -> dict[str, Any]:
    """Return the resources that flags ask for. Raises ConfigError."""
    from clustrix_core import options

    given = given_of(context, "")
    return options.convert(Resources, given, _origin(given))


def _with_backend_options(found: Options, wanted: Mapping[str, Mapping[str, Any]]) -> Options:
    from clustrix_core.api import session
    from clustrix_core.config import ClusterConfig
    from clustrix_core.config.flat import Given
    from clustrix_core.errors import ConfigError
    from clustrix_core.options import Origin

    settings = session.settings_for(found)
    for backend, values in wanted.items():
        if backend != settings.backend:
            raise ConfigError(
                f"--{backend}-{_dashed(next(iter(values)))}: "
                f"the cluster {settings.name!r} has the backend {settings.backend}"
            )
    values = wanted[settings.backend]
    inner = _origin(values, f"{settings.backend}-")
    given = Given({"options": dict(values)}, Origin(parts={"options": inner}))
    changed = ClusterConfig.of(given.over(settings.given()), settings.name)
    return found.but(cluster=changed, backend=None)


def _origin(values: Mapping[str, Any], prefix: str = "") -> Origin:
    from clustrix_core.options import Origin

    return Origin(parts={field: Origin(f"--{prefix}{_dashed(field)}") for field in values})


def _dashed(name: str) -> str:
    return name.removeprefix("--").replace("_", "-")
