"""Clustrix: run a function on whatever cluster your site has.

from clustrix import cluster

@cluster(cores=4, memory="8GB", time="01:00:00")
def simulate(seed, steps): ...

simulate(1, 1000)                       # runs there, returns the value, re-raises the function's own exception
job = simulate.submit(1, 1000)          # a Job, which is a concurrent.futures.Future
for result in simulate.map(range(10_000), steps=100): ...
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clustrix_core import __version__ as __version__

if TYPE_CHECKING:
    from clustrix_core.api.environments import get_environment_info, get_environment_requirements
    from clustrix_core.api.executor import Executor
    from clustrix_core.api.files import (
        cluster_count_files,
        cluster_du,
        cluster_exists,
        cluster_find,
        cluster_glob,
        cluster_isdir,
        cluster_isfile,
        cluster_ls,
        cluster_stat,
    )
    from clustrix_core.api.function import cluster
    from clustrix_core.api.job import Job
    from clustrix_core.api.map import Map
    from clustrix_core.api.session import get_job, jobs
    from clustrix_core.config import ClusterConfig, configure
    from clustrix_core.errors import (
        AuthenticationError,
        BackendNotInstalled,
        BuildFailed,
        CancelledByCaller,
        CannotTravel,
        ClustrixError,
        CommandError,
        ConfigError,
        DependencyFailed,
        ForgedResult,
        HostKeyError,
        InsideJobError,
        JobCancelled,
        JobError,
        JobFailed,
        JobLost,
        JobOutOfMemory,
        JobPreempted,
        JobTimeout,
        NodeFailed,
        PayloadError,
        PluginError,
        RemoteError,
        ResultLost,
        ResultUnreadable,
        StagingError,
        SubmitRejected,
        TransportError,
        ValueGone,
    )
    from clustrix_core.model import JobState
    from clustrix_core.resources import Resources
    from clustrix_core.worker import checkpoint
    from clustrix_core.worker.carried import File, Folder
    from clustrix_core.worker.inside import current_job
    from clustrix_core.worker.reporter import report_progress

__all__ = [
    "AuthenticationError",
    "BackendNotInstalled",
    "BuildFailed",
    "CancelledByCaller",
    "CannotTravel",
    "ClusterConfig",
    "ClustrixError",
    "CommandError",
    "ConfigError",
    "DependencyFailed",
    "Executor",
    "File",
    "Folder",
    "ForgedResult",
    "HostKeyError",
    "InsideJobError",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobLost",
    "JobOutOfMemory",
    "JobPreempted",
    "JobState",
    "JobTimeout",
    "Map",
    "NodeFailed",
    "PayloadError",
    "PluginError",
    "RemoteError",
    "Resources",
    "ResultLost",
    "ResultUnreadable",
    "StagingError",
    "SubmitRejected",
    "TransportError",
    "ValueGone",
    "__version__",
    "checkpoint",
    "cluster",
    "cluster_count_files",
    "cluster_du",
    "cluster_exists",
    "cluster_find",
    "cluster_glob",
    "cluster_isdir",
    "cluster_isfile",
    "cluster_ls",
    "cluster_stat",
    "configure",
    "current_job",
    "get_environment_info",
    "get_environment_requirements",
    "get_job",
    "jobs",
    "report_progress",
]

_ERRORS = "clustrix_core.errors"
_HOMES = {
    "ClusterConfig": "clustrix_core.config",
    "Executor": "clustrix_core.api.executor",
    "File": "clustrix_core.worker.carried",
    "Folder": "clustrix_core.worker.carried",
    "Job": "clustrix_core.api.job",
    "JobState": "clustrix_core.model",
    "Map": "clustrix_core.api.map",
    "Resources": "clustrix_core.resources",
    "checkpoint": "clustrix_core.worker.checkpoint",  # the module itself
    "cluster": "clustrix_core.api.function",
    "cluster_count_files": "clustrix_core.api.files",
    "cluster_du": "clustrix_core.api.files",
    "cluster_exists": "clustrix_core.api.files",
    "cluster_find": "clustrix_core.api.files",
    "cluster_glob": "clustrix_core.api.files",
    "cluster_isdir": "clustrix_core.api.files",
    "cluster_isfile": "clustrix_core.api.files",
    "cluster_ls": "clustrix_core.api.files",
    "cluster_stat": "clustrix_core.api.files",
    "configure": "clustrix_core.config",
    "current_job": "clustrix_core.worker.inside",
    "get_environment_info": "clustrix_core.api.environments",
    "get_environment_requirements": "clustrix_core.api.environments",
    "get_job": "clustrix_core.api.session",
    "jobs": "clustrix_core.api.session",
    "report_progress": "clustrix_core.worker.reporter",
}


def __getattr__(name: str) -> Any:
    # Names are imported at first use: `import clustrix` in a script's head must cost next to nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(_HOMES.get(name, _ERRORS))
    value = globals()[name] = home if name == "checkpoint" else getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
