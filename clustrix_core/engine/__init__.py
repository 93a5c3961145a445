"""The engine: one job's life, from a packed call to a delivered outcome."""

from clustrix_core.engine.engine import Engine, Request
from clustrix_core.engine.flight import Flight

__all__ = ["Engine", "Flight", "Request"]
