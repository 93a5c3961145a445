"""A value that stays on its cluster, as its caller holds it."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from clustrix_core.api import session
from clustrix_core.errors import ConfigError, JobLost, ValueGone
from clustrix_core.payload import references

T = TypeVar("T")


class Kept(references.Standing, Generic[T]):
    """The value of a job, left on its cluster: what ``job.result(keep=True)`` returns.

    As an argument of another call on the same cluster it stands for the value, which goes from job to job over there.
    ``result()`` brings it here. It can be pickled, and is good in any process of the same user as long as nobody cleans
    the job: ``job`` is its id, ``size`` the bytes of the value, ``cluster`` where it is.
    """

    def __init__(self, job: str, label: str, cluster: str, size: int) -> None:
        self.job, self.label, self.cluster, self.size = job, label, cluster, size

    def result(self) -> T:
        """Bring the value here and return it. Raises ValueGone where the job was cleaned, TransportError."""
        try:
            job: Any = session.get_job(self.job)
            value: T = job.result()
        except (ConfigError, JobLost) as error:
            raise self.gone() from error
        return value

    def gone(self) -> ValueGone:
        """Return the error of a value that is not there any more."""
        return ValueGone(
            f"the value of {self.label} (job {self.job}) is no longer on {self.cluster}: its job was cleaned",
            job=self.job,
            hint="Run it again; `clustrix clean` leaves jobs that ended less than --older-than ago.",
        )

    def __reduce__(self) -> Any:
        if references.packing():
            return references.reduce(self)
        return Kept, (self.job, self.label, self.cluster, self.size)

    def __repr__(self) -> str:
        return f"<Kept {self.label}-{self.job}: {self.size / 1e6:,.1f} MB on {self.cluster}>"


__all__ = ["Kept"]
