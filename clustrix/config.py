"""Configuration: ``ClusterConfig``, ``configure`` and how files are found and read."""

from __future__ import annotations

from clustrix_core.config import (
    ClusterConfig,
    Config,
    configure,
    current,
    dump,
    find,
    home,
    load,
    reset,
    schema,
)

__all__ = ["ClusterConfig", "Config", "configure", "current", "dump", "find", "home", "load", "reset", "schema"]
