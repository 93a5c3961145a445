"""Why a job waits, in words. Slurm's own word stays, for whoever asks the site about it."""

from __future__ import annotations

import re

_LESS = "clustrix cancel, and ask for less"
_NEVER = "it will never start; clustrix cancel"

# Slurm's words (squeue(1), and the strings of 22.05), what they mean, what to do. The first that matches counts.
_WORDS = tuple(
    (re.compile(pattern), meaning, todo)
    for pattern, meaning, todo in (
        ("Resources", "waiting for room", ""),
        ("Priority", "waiting behind jobs of higher priority", ""),
        ("JobArrayTaskLimit", "as many of its tasks run as may at a time", ""),
        ("JobHeldUser", "held by the user", "scontrol release {id}"),
        ("JobHoldMaxRequeue|launch.failed.requeued.held", "held, it could not be started", "scontrol release {id}"),
        ("JobHeldAdmin", "held by an administrator", "ask the site"),
        ("Dependency", "waiting for other jobs", ""),
        ("DependencyNeverSatisfied", "the job that it depends on did not end as it had to", _NEVER),
        ("BeginTime", "waiting for its time to begin, or to begin again", ""),
        ("Licenses", "waiting for a licence", ""),
        ("Reservation", "waiting for its reservation to begin", ""),
        ("ReservationDeleted", "its reservation is gone", "clustrix cancel"),
        ("ReqNodeNotAvail.*|NodeDown", "a node that it asks for is down, drained or reserved", ""),
        ("Partition(Down|Inactive)", "its partition is closed for now", ""),
        ("PartitionTimeLimit", "it asks for more time than its partition allows", _LESS),
        ("Partition(Config|NodeLimit|MaxNodes)", "it asks for more than its partition has or allows", _LESS),
        ("MaxMemPerLimit", "it asks for more memory than it may", _LESS),
        ("BadConstraints", "no node is as it asks for", _NEVER),
        ("Invalid(Account|QOS)|(Account|QOS)NotAllowed", "it may not run under this account or QOS there", _NEVER),
        (r"(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?", "it asks for more than one job may have", _LESS),
        (r"QOSMin\w+", "it asks for less than its QOS is for", _NEVER),
        (r"(Assoc|QOS)Grp\w+Minutes(Limit)?", "the budget of its account or QOS is used up", "ask the site"),
        (r"(Assoc\w+|QOS\w+|Max\w+PerAccount)", "waiting for other jobs: a limit of its account, user or QOS", ""),
    )
)


def in_words(reason: str, native: str) -> str:
    """Return what a reason means, with it in brackets, and what to do; one that is not known as it is."""
    for pattern, meaning, todo in _WORDS:
        if pattern.fullmatch(reason):
            return f"{meaning} ({reason})" + (f": {todo.format(id=native)}" if todo else "")
    return reason
