"""What the user asks for in the scheduler's own words: passed on, but for what would lose the job."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clustrix_core.errors import ConfigError
from clustrix_core.model import JobSpec


@dataclass(frozen=True)
class Raw:
    """How one scheduler's options are told apart.

    ``breaks``: with this word the job or its log would not be found again, or the submit command would not come back;
    ``depends``: this word is a dependency, of which the scheduler keeps only one kind; ``like`` is an example of an
    option; ``words`` splits a line as the scheduler does.
    """

    scheduler: str
    command: str
    like: str
    breaks: Callable[[str], bool]
    depends: Callable[[str], bool]
    words: Callable[[str], Sequence[str]] = shlex.split

    def options(self, job: JobSpec) -> Iterator[str]:
        """Yield the job's raw directives. Raises ConfigError for one that would break it."""
        for line in job.resources.directives:
            if not line.startswith("-"):
                raise ConfigError(
                    f"directives: {line!r} is not an option of {self.command}", hint=f'Write it like "{self.like}".'
                )
            for word in self.split(line):
                if self.breaks(word):
                    raise ConfigError(
                        f"directives: {word!r} would keep Clustrix from finding the job or its log again",
                        hint="For another name there is name=, for another cluster a configuration of its own.",
                    )
                if job.after and self.depends(word):
                    raise ConfigError(
                        f"directives: {word!r} and a job as an argument: {self.scheduler} keeps only one of the two"
                    )
            yield line

    def split(self, line: str) -> Sequence[str]:
        """Return the words of a line. To schedulers a backslash means one thing, to shells another: none is allowed."""
        if "\\" in line:
            raise ConfigError(
                f"directives: {line!r} holds a backslash, which {self.scheduler} does not read as shells do"
            )
        try:
            return self.words(line)
        except ValueError as error:
            raise ConfigError(f"directives: {line!r}: {error}") from None


__all__ = ["Raw"]
