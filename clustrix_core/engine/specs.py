"""What was asked of a job, as the journal keeps it."""

from __future__ import annotations

import dataclasses
from typing import Any

from clustrix_core.entry import Entry
from clustrix_core.environments import Recipe
from clustrix_core.model import JobSpec, Site
from clustrix_core.resources import Resources

RECIPE = "recipe"  # under which the journal keeps what is to be installed
DATA = "data"  # under which it keeps whether the job has put data beside itself on the cluster
_NAMES = {field.name for field in dataclasses.fields(JobSpec)}


def to_json(spec: JobSpec) -> dict[str, Any]:
    """Return a spec as JSON-safe data, without its files."""
    data = dataclasses.asdict(dataclasses.replace(spec, files={}))
    del data["files"]
    return data


def of(entry: Entry) -> JobSpec:
    """Return the spec of a journalled job, in the shape in which its present round was sent."""
    data = {name: value for name, value in entry.spec.items() if name in _NAMES}
    return JobSpec(**{**data, "resources": resources(entry)})


def recipe(entry: Entry) -> Recipe | None:
    """Return what a journalled job wants to be installed; None for nothing."""
    data = entry.spec.get(RECIPE)
    return Recipe.from_json(data) if data else None


def python(entry: Entry, site: Site) -> tuple[int, int]:
    """Return the version of the Python that a journalled job runs on: the cluster's, or its environment's own."""
    wanted = recipe(entry)
    return (wanted and wanted.version) or site.python


def resources(entry: Entry) -> Resources:
    """Return the resources of a journalled job."""
    return Resources(**entry.spec["resources"])
