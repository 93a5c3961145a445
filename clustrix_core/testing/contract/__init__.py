"""What every backend promises, as tests: subclass ``BackendContract`` and say which plugin and which cluster.

Each test is one promise; its docstring says it. ``DescriptionContract`` and ``ScriptContract`` are the parts that need
no cluster.
"""

from __future__ import annotations

from clustrix_core.testing.contract.calls import CallContract
from clustrix_core.testing.contract.description import DescriptionContract
from clustrix_core.testing.contract.ends import EndContract
from clustrix_core.testing.contract.files import FileContract
from clustrix_core.testing.contract.outages import OutageContract
from clustrix_core.testing.contract.queries import QueryContract
from clustrix_core.testing.contract.scripts import ScriptContract
from clustrix_core.testing.contract.sites import SiteContract
from clustrix_core.testing.contract.submission import SubmissionContract


class BackendContract(
    DescriptionContract,
    ScriptContract,
    SiteContract,
    SubmissionContract,
    QueryContract,
    FileContract,
    EndContract,
    OutageContract,
    CallContract,
):
    """All promises of a backend. See ``Subject`` for what a subclass says of itself."""


__all__ = ["BackendContract", "DescriptionContract", "ScriptContract"]
