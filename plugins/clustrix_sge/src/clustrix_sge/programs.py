"""How Grid Engine's programs are called, and how what they print is cut down before it travels."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from clustrix_core.batch import words
from clustrix_core.model import Cluster


def run(cluster: Cluster, *argv: str) -> Sequence[str]:
    """Return an argv that runs a program of Grid Engine, with the site's settings where it needs them."""
    settings = cluster.options.settings
    return argv if settings is None else ["sh", "-c", f'. {words([settings])} && exec "$@"', "sge", *argv]


def shell(cluster: Cluster, script: str) -> Sequence[str]:
    """Return an argv that runs a script of sh which calls programs of Grid Engine."""
    return run(cluster, "sh", "-c", script)


def user(cluster: Cluster) -> str:
    """Return the user over there as a shell word."""
    return shlex.quote(cluster.site.user) if cluster.site and cluster.site.user else '"$(id -un)"'


def awk(program: str, *variables: str) -> str:
    """Return a command line of awk, on one line: a user's own shell may be one that takes no more."""
    return " ".join(["awk", *(f'-v "{variable}"' for variable in variables), shlex.quote(" ".join(program.split()))])


# What Grid Engine prints as XML has one element a line.
XML = "{ split($0, part, /[<>]/); tag = part[2]; text = part[3] }"
# Of the jobs that are asked for stdin has lines "job round", up to a line "=". ``ours`` says whether a name is that of
# one of them: names end like -0123456789abcdef, or -0123456789abcdef-r2 in round 2.
OURS = """
    function ours(name) { return match(name, /[0-9a-f]+(-r[0-9]+)?$/) && (substr(name, RSTART) in wanted) }
    !listed && $0 == "=" { listed = 1; next }
    !listed { split($0, asked, " "); wanted[asked[1] (asked[2] == "0" ? "" : "-r" asked[2])]; next }
"""
