"""A client's home and a directory that it shares with its jobs, as in the real tests."""

from tests.real.conftest import home, shared

__all__ = ["home", "shared"]
