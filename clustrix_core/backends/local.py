"""This machine: jobs are detached processes that outlive their client."""

from clustrix_core.backends.host import *  # noqa: F403 - all of its hooks, so that none can be forgotten
from clustrix_core.backends.host import FOREIGN, HostOptions
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("local", HostOptions, "this machine", lacks=FOREIGN, here=True)
