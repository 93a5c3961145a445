"""The configuration as text: YAML for ``clustrix init`` and ``config show``, and the JSON schema of a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from clustrix_core import options
from clustrix_core.config.cluster import ClusterConfig
from clustrix_core.config.file import PLAIN
from clustrix_core.config.flat import RESOURCES
from clustrix_core.config.load import LOCAL, Config
from clustrix_core.config.old import BACKENDS, DROPPED, OLD
from clustrix_core.quantities import format_memory, format_time
from clustrix_core.resources import Resources

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def dump(config: Config, show: bool = False) -> str:
    """Return a configuration as YAML that ``load`` reads back.

    Secrets are left out, because Clustrix writes none; with ``show`` they are asterisks, which ``load`` refuses.
    """
    import yaml

    found: dict[str, Any] = {}
    if config.default is not None and (config.default in config.clusters or config.default == LOCAL):
        found["default"] = config.default
    if config.clusters:
        found["clusters"] = {name: _cluster(name, cluster, show) for name, cluster in config.clusters.items()}
    return str(yaml.dump(found, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=1000)) if found else ""


def schema(option_classes: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Return the JSON schema of a clustrix.yml; ``option_classes`` are the backends' option dataclasses by name."""
    cluster = _cluster_schema(option_classes or {})
    old = {name: {"deprecated": True, "description": f"the older name of {new}"} for name, new in OLD.items()}
    old.update({name: {"deprecated": True, "description": f"no effect: {why}"} for name, why in DROPPED.items()})
    cluster["properties"].update(old)
    return {
        "$schema": _DRAFT,
        "title": "Clustrix configuration",
        "$defs": {"cluster": cluster},
        "anyOf": [
            {
                "type": ["object", "null"],
                "properties": {
                    "default": {"type": "string", "description": "the cluster that is meant where none is named"},
                    "clusters": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/cluster"}},
                },
                "additionalProperties": False,
            },
            {"$ref": "#/$defs/cluster"},
        ],
    }


def _cluster_schema(option_classes: Mapping[str, type]) -> dict[str, Any]:
    found = {**options.schema(ClusterConfig), "type": ["object", "null"]}
    resources = options.schema(Resources)
    found["properties"]["options"] = {"type": "object", "description": "the backend's own options"}
    for name in RESOURCES:
        found["properties"].setdefault(name, resources["properties"][name])
    found["properties"]["queue"] = resources["properties"]["partition"]
    spelt = {
        backend: [backend, *(old for old, new in BACKENDS.items() if new == backend)] for backend in option_classes
    }
    found["allOf"] = [
        {
            "if": {"properties": {"backend": {"enum": spelt[backend]}}, "required": ["backend"]},
            "then": {"properties": {"options": options.schema(cls)}},
        }
        for backend, cls in option_classes.items()
    ]
    if not found["allOf"]:
        del found["allOf"]
    return found


def _cluster(name: str, cluster: ClusterConfig, show: bool) -> dict[str, Any]:
    found = cluster.shown() if show else cluster.public()
    found.pop("name", None)
    found.setdefault("backend", cluster.backend)
    resources = found.get("resources", {})
    for key, text in (("memory", format_memory), ("time", format_time)):
        if key in resources:
            resources[key] = text(resources[key])
    plain: dict[str, Any] = _plain({"backend": found.pop("backend"), **found})
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@lru_cache(maxsize=1)
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what any version of YAML would take for something other than text."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        # Only escapes keep odd line ends such as U+0085 as they are.
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')

    Dumper.add_representer(str, text)
    for name, pattern in PLAIN.items():
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{name}", pattern, None)
    return Dumper
