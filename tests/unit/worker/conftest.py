"""Properties are checked without a deadline: the machine may be busy with other tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
