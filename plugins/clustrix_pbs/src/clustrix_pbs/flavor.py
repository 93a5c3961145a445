"""The two schedulers that are called PBS, and what they say differently."""

from __future__ import annotations

from dataclasses import dataclass

from clustrix_core.model import Cluster


@dataclass(frozen=True)
class Flavor:
    """One kind of PBS. ``array`` is the option of qsub for it, ``unfolded`` makes ``qstat -f`` keep lines whole.

    ``history`` is the option of qstat and qselect for jobs that are over; "" where the queue itself keeps them a while.
    """

    name: str
    array: str
    unfolded: str
    history: str


OPENPBS = Flavor("OpenPBS", "-J", "-w", "-x")  # PBS Professional too
TORQUE = Flavor("Torque", "-t", "-1", "")


def flavor(cluster: Cluster) -> Flavor:
    """Return the kind that is configured, else the one that the first contact found; before that, OpenPBS."""
    said = cluster.options.dialect or (cluster.site.scheduler if cluster.site else "")
    return TORQUE if said.lower().startswith("torque") else OPENPBS
