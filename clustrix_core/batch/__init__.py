"""A toolkit for batch schedulers: a ``Dialect`` says what one scheduler says differently, these functions do the rest.

A backend's hooks are one line each: ``return batch.submit(DIALECT, job, script, cluster)``.
An odd scheduler writes one hook by hand and keeps the others.
"""

from clustrix_core.batch.dialect import Dialect, Query, Row
from clustrix_core.batch.fetch import fetch
from clustrix_core.batch.find import find
from clustrix_core.batch.logs import logs
from clustrix_core.batch.queue import cancel, expand, status
from clustrix_core.batch.script import render, words
from clustrix_core.batch.site import check, provision
from clustrix_core.batch.submit import submit

__all__ = [
    "Dialect",
    "Query",
    "Row",
    "cancel",
    "check",
    "expand",
    "fetch",
    "find",
    "logs",
    "provision",
    "render",
    "status",
    "submit",
    "words",
]
