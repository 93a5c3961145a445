"""A toolkit for batch schedulers: a ``Dialect`` says what one scheduler says differently, these functions do the rest.

``hooks(DIALECT, __name__)`` are all hooks of its plugin; an odd scheduler writes one by hand and keeps the others.
"""

from clustrix_core.batch.dialect import Dialect, Query, Row
from clustrix_core.batch.fetch import fetch
from clustrix_core.batch.find import find
from clustrix_core.batch.hooks import hooks
from clustrix_core.batch.logs import logs
from clustrix_core.batch.queue import cancel, expand, status
from clustrix_core.batch.raw import Raw
from clustrix_core.batch.script import render, words
from clustrix_core.batch.site import check, other_python, provision
from clustrix_core.batch.submit import submit

__all__ = [
    "Dialect",
    "Query",
    "Raw",
    "Row",
    "cancel",
    "check",
    "expand",
    "fetch",
    "find",
    "hooks",
    "logs",
    "other_python",
    "provision",
    "render",
    "status",
    "submit",
    "words",
]
