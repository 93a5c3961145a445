"""One job as this user's clients keep it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clustrix_core import errors
from clustrix_core.errors import ClustrixError
from clustrix_core.model import JobHandle, JobState

INTENT, SUBMITTED, OVER, REFUSED = "intent", "submitted", "over", "refused"
_PLACE = ("backend", "host", "port", "user", "proxy_jump", "ssh_config", "work_dir")
# The options that say where a cluster is that is reached by an API.
_API_PLACE = ("kubeconfig", "context", "namespace", "claim")


@dataclass
class Entry:
    """One job as journalled. ``spec`` holds the shape (JSON), ``ends`` the typed ends by call, ``phase`` is one of
    intent (not yet accepted), submitted, over (everything that will ever come is here) and refused."""

    id: str
    label: str
    cluster: str
    settings: dict[str, Any]
    kind: str
    spec: dict[str, Any]
    owner: str
    phase: str = INTENT
    state: str = JobState.PENDING.value
    reason: str = ""
    created: float = field(default_factory=time.time)
    finished: float | None = None
    handle: JobHandle | None = None
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where its files are. A name is not enough: tomorrow it may be another host's; and many ways lead there."""
        return place(self.settings)


def place(settings: Mapping[str, Any]) -> str:
    """Return where the files of jobs with these settings (JSON-safe) are."""
    options = settings.get("options") or {}
    reached = [options[name] for name in _API_PLACE if options.get(name)]
    return json.dumps([*(settings.get(name) for name in _PLACE), *reached])


def error_data(error: ClustrixError) -> dict[str, Any]:
    """Return an error of ours as JSON-safe data; ``error_from`` makes it again."""
    plain = {k: v for k, v in vars(error).items() if isinstance(v, (str, int, float, bool, type(None)))}
    return {"type": type(error).__name__, "message": str(error.args[0]) if error.args else "", "data": plain}


def error_from(data: Mapping[str, Any]) -> ClustrixError:
    kind = getattr(errors, str(data["type"]), None)
    if not isinstance(kind, type) or not issubclass(kind, ClustrixError):  # of a later version
        kind = ClustrixError
    error: ClustrixError = kind(data["message"], **data["data"])
    return error
