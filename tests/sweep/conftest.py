"""A directory that clients share with jobs of another user, as in the real tests."""

from tests.real.conftest import shared

__all__ = ["shared"]
