"""``clustrix`` as a job sees it where Clustrix is not installed."""

import importlib
import sys

from clustrix_core import __version__
from clustrix_core.worker import checkpoint, inside
from clustrix_core.worker.inside import cluster, current_job

from .config import ClusterConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, NoReturn

_ERRORS = (
    "AuthenticationError",
    "BackendNotInstalled",
    "BuildFailed",
    "CancelledByCaller",
    "CannotTravel",
    "ClustrixError",
    "CommandError",
    "ConfigError",
    "DependencyFailed",
    "ForgedResult",
    "HostKeyError",
    "InsideJobError",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobLost",
    "JobOutOfMemory",
    "JobPreempted",
    "JobTimeout",
    "NodeFailed",
    "PayloadError",
    "PluginError",
    "RemoteError",
    "ResultLost",
    "ResultUnreadable",
    "StagingError",
    "SubmitRejected",
    "TransportError",
    "ValueGone",
)
_FILES = (
    "cluster_count_files",
    "cluster_du",
    "cluster_exists",
    "cluster_find",
    "cluster_glob",
    "cluster_isdir",
    "cluster_isfile",
    "cluster_ls",
    "cluster_stat",
)
_STATES = (
    "PENDING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "NODE_FAIL",
    "PREEMPTED",
    "RESULT_LOST",
    "LOST",
    "UNKNOWN",
)
__all__ = [
    "ClusterConfig",
    "Executor",
    "File",
    "Folder",
    "Job",
    "JobState",
    "Map",
    "Resources",
    "__version__",
    "checkpoint",
    "cluster",
    "configure",
    "current_job",
    "get_environment_info",
    "get_environment_requirements",
    "get_job",
    "jobs",
    "report_progress",
]
__all__ += _ERRORS + _FILES


class Executor(inside.Refused):
    """Not to be had in a job."""


class Job(inside.Refused):
    """Not to be had in a job."""


class Map(inside.Refused):
    """Not to be had in a job."""


class Resources(inside.Held):
    """What one call needs."""


def configure(*args: "Any", **keywords: "Any") -> "NoReturn":
    """Raise: there is nothing to configure."""
    inside.refuse(
        "configure()", "Call it where jobs are submitted: guard it with `if clustrix.current_job() is None:`."
    )


def get_environment_info(*args: "Any", **keywords: "Any") -> "NoReturn":
    """Raise: it tells of the client's environment."""
    inside.refuse("get_environment_info()", "Call it where jobs are submitted, and pass what it returns.")


def get_environment_requirements(*args: "Any", **keywords: "Any") -> "NoReturn":
    """Raise: it tells of the client's environment."""
    inside.refuse("get_environment_requirements()", "Call it where jobs are submitted, and pass what it returns.")


def get_job(*args: "Any", **keywords: "Any") -> "NoReturn":
    """Raise: jobs are known to the client that submitted them."""
    inside.refuse("get_job()", "Ask for the result where the job was submitted, and pass it as an argument.")


def jobs(*args: "Any", **keywords: "Any") -> "NoReturn":
    """Raise: jobs are known to the client that submitted them."""
    inside.refuse("jobs()", "Ask where the jobs were submitted.")


_HOMES = dict.fromkeys(_ERRORS, "clustrix_core.errors")
_HOMES.update(dict.fromkeys(_FILES, "clustrix_core.worker.files"))
_HOMES.update(dict.fromkeys(("File", "Folder"), "clustrix_core.worker.carried"))
_HOMES["report_progress"] = "clustrix_core.worker.reporter"


# They cost more to import than a small call takes: only who names them pays for them.
def __getattr__(name: str) -> "Any":
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name == "JobState":
        states = [(state, state) for state in _STATES]
        value = importlib.import_module("enum").Enum("JobState", states, type=str, module=__name__)
    else:
        raise AttributeError("module 'clustrix' of a job has no attribute %r" % name)
    globals()[name] = value
    return value


def __dir__() -> "List[str]":
    return sorted(__all__)


if sys.version_info < (3, 7):  # no lookup by __getattr__
    for _name in list(_HOMES) + ["JobState"]:
        __getattr__(_name)
