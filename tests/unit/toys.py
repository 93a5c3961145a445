"""Real plugin modules, written as source: what an author would publish, only smaller."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from clustrix_core import payload
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, JobStatus, Site
from clustrix_core.resources import Resources
from clustrix_core.testing.distributions import Distributions
from clustrix_core.transport.local import Local

HEAD = """
from dataclasses import dataclass
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, Fetched, JobHandle, JobState, JobStatus, LogChunk

events = []
"""

# A backend that keeps its jobs in a dictionary. It answers every hook that a backend must.
BACKEND = (
    HEAD
    + """
@dataclass(frozen=True)
class Options:
    speed: int = 1

@hookimpl
def describe_backend():
    return BackendInfo({backend!r}, Options)

@hookimpl
def check(cluster):
    return []

@hookimpl
def render_script(job, cluster):
    return f"#!/bin/sh\\necho {{job.name}}\\n"

@hookimpl
def submit(job, script, cluster):
    events.append("submit")
    return JobHandle(job.id, job.name, {backend!r} + "-1", job.tasks)

@hookimpl
def find(job, cluster):
    return None

@hookimpl
def status(handles, cluster):
    return {{handle.job: JobStatus(JobState.RUNNING) for handle in handles}}

@hookimpl
def fetch(handles, into, cluster):
    return {{handle.job: Fetched() for handle in handles}}

@hookimpl
def logs(handle, cluster, since):
    return LogChunk("hello\\n", 6)

@hookimpl
def cancel(handles, cluster):
    events.append("cancel")
"""
)

MACHINES = (
    HEAD
    + """
from dataclasses import replace

@dataclass(frozen=True)
class Options:
    pass

@hookimpl
def describe_backend():
    return BackendInfo({backend!r}, Options)

@hookimpl
def provision(cluster):
    return replace(cluster, backend={over!r})

@hookimpl
def release(cluster):
    events.append("release")
"""
)


def module(name: str, source: str) -> ModuleType:
    """Return a module made of source; its functions say that they come from it, as after an import."""
    made = ModuleType(name)
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), made.__dict__)
    return made


def backend(name: str = "toy", *, plugin: str | None = None, more: str = "", without: str = "") -> ModuleType:
    """Return the module of a whole backend, with ``more`` source at its end and without one hook."""
    made = module(plugin or f"clustrix_{name}", BACKEND.format(backend=name) + more)
    if without:
        delattr(made, without)
    return made


def install(house: Path, distribution: str, name: str, source: str, module_name: str | None = None) -> str:
    """Put a distribution into a directory as pip does: a module, its metadata, its entry point. Return the module."""
    module_name = module_name or f"{distribution.replace('-', '_')}_{house.name.replace('-', '_')}"
    return Distributions(house)(name, source, distribution=distribution, module=module_name)


def cluster(backend: str = "toy", **changes: object) -> Cluster:
    fields: dict[str, object] = {"name": "here", "backend": backend, "options": None, "transport": Local()}
    return Cluster(**{**fields, **changes})  # type: ignore[arg-type]


def job(id: str = "0123456789abcdef", label: str = "simulate", **changes: object) -> JobSpec:
    resources = changes.pop("resources", None) or Resources()
    return JobSpec(id, label, resources, **changes)  # type: ignore[arg-type]


HANDLE = JobHandle("0123456789abcdef", "simulate-0123456789abcdef", "toy-1")
RUNNING = JobStatus(JobState.RUNNING)
SITE = Site("/scratch/ada", (3, 11), "ada")


def pack_nothing(directory: Path, python: object) -> None:
    """Pack what any Python takes."""
    payload.pack_command(directory, "true")
