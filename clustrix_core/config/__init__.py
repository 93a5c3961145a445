"""What is configured: clusters in files, environment variables and calls of ``configure``."""

from clustrix_core.config.cluster import ClusterConfig
from clustrix_core.config.load import Config, load
from clustrix_core.config.settings import configure, current, find, home, reset
from clustrix_core.config.shown import dump, schema

__all__ = ["ClusterConfig", "Config", "configure", "current", "dump", "find", "home", "load", "reset", "schema"]
