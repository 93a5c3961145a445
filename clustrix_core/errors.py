"""Every error that Clustrix raises. This file travels with the worker: Python 3.6 and later, standard library only.

ClustrixError
├── ConfigError               the configuration or an argument is wrong; nothing has happened yet
├── InsideJobError            asked for a cluster inside a job where none is configured
├── PluginError               a plugin is broken
│   └── BackendNotInstalled   no plugin answers for that backend; says what to install
├── TransportError            the cluster cannot be reached, or the connection broke (transient)
│   ├── HostKeyError          unknown or changed host key
│   └── AuthenticationError   the host refused the login
├── CommandError              a command on the cluster failed: argv, returncode, stderr
│   └── StagingError          files could not be put on the cluster
├── BuildFailed               what a function needs could not be installed: there is no job
├── SubmitRejected            the scheduler refused: there is no job
├── PayloadError
│   ├── CannotTravel          a function, argument or result that cannot be pickled; names the object
│   ├── ForgedResult          a result whose signature is wrong; nothing was loaded
│   ├── ResultUnreadable      a genuine result that cannot be unpickled here; kept on disk
│   └── ValueGone             a value that was to stay on its cluster is no longer there
├── RemoteError               an exception of the function that could not travel: its text
└── JobError                  the job ended without a value: job, state, reason, exit_code, log
    ├── JobFailed             the script failed, the process was killed, the node could not start it
    ├── JobTimeout            over its walltime
    ├── JobOutOfMemory        over its memory
    ├── JobCancelled          cancelled by somebody
    │   └── CancelledByCaller by ``Job.cancel()`` here; also a ``concurrent.futures.CancelledError``
    ├── NodeFailed            the node went down
    ├── JobPreempted          evicted for a job of higher priority
    ├── ResultLost            its task ended well, and its result was lost before a client had it
    ├── JobLost               no trace within the deadline; says what was tried
    └── DependencyFailed      a job whose value was an argument left none: ``producer``
"""

from concurrent.futures import CancelledError


class ClustrixError(Exception):
    """Root of all errors of Clustrix.

    ``cluster`` and ``plugin`` name where it happened, ``hint`` is the next step to take. ``transient`` is True
    where trying again may help.
    """

    transient = False
    cluster = None  # type: str | None
    plugin = None  # type: str | None
    hint = None  # type: str | None

    def __init__(self, message, **data):  # type: (str, **object) -> None
        super().__init__(message)
        self.__dict__.update(data)

    def __str__(self):  # type: () -> str
        where = "[%s] " % self.cluster if self.cluster else ""
        hint = "\n%s" % self.hint if self.hint else ""
        return "%s%s%s" % (where, self.args[0] if self.args else "", hint)


class ConfigError(ClustrixError, ValueError):
    """The configuration or an argument is wrong. ``file`` and ``line`` say where, when it came from a file."""

    file = None  # type: str | None
    line = None  # type: int | None


class InsideJobError(ClustrixError):
    """Something that needs a cluster was asked for inside a job, where none is configured."""


class PluginError(ClustrixError):
    """A plugin breaks the rules of the hooks, or failed to import."""


class BackendNotInstalled(PluginError):
    """No installed plugin answers for this backend."""


class TransportError(ClustrixError):
    """The cluster cannot be reached or the connection broke; what was asked may or may not have happened."""

    transient = True


class HostKeyError(TransportError):
    """The host's key is unknown or has changed: refused."""

    transient = False


class AuthenticationError(TransportError):
    """The host refused the login."""

    transient = False


class CommandError(ClustrixError):
    """A command on the cluster failed."""

    argv = ()  # type: tuple[str, ...]
    returncode = None  # type: int | None
    stderr = ""


class StagingError(CommandError):
    """Files could not be put on the cluster: work_dir foreign, not writable or full."""


class BuildFailed(ClustrixError):
    """An environment could not be built, in the installer's own words: there is no job.

    ``environment`` is its key, ``log`` the end of what was said meanwhile.
    """

    environment = None  # type: str | None
    reason = None  # type: str | None
    log = None  # type: str | None

    def __str__(self):  # type: () -> str
        log = "\n--- the end of its log ---\n%s" % self.log.rstrip() if self.log else ""
        return super().__str__() + log


class SubmitRejected(ClustrixError):
    """The scheduler refused the job, in its own words: there is no job."""


class PayloadError(ClustrixError):
    """Something could not be sent or taken back."""


class CannotTravel(PayloadError, TypeError):
    """A function, an argument or a result cannot be pickled. Names the object."""


class ForgedResult(PayloadError):
    """The signature of a result is wrong: nothing of it was loaded."""


class ResultUnreadable(PayloadError):
    """A genuine result cannot be unpickled here. It is kept at ``path``."""

    path = None  # type: str | None


class ValueGone(PayloadError):
    """A value that was to stay on its cluster is no longer there: its job (``job``) was cleaned, or was over before."""

    job = None  # type: str | None


class RemoteError(ClustrixError):
    """The function raised an exception that itself could not travel; ``type_name`` and ``remote_traceback`` tell."""

    type_name = None  # type: str | None
    remote_traceback = None  # type: str | None


class JobError(ClustrixError):
    """A job ended without a value. ``log`` is the tail of its output, ``reason`` the scheduler's own words."""

    job = None  # type: str | None
    state = None  # type: str | None
    reason = None  # type: str | None
    exit_code = None  # type: int | None
    log = None  # type: str | None

    def __str__(self):  # type: () -> str
        log = "\n--- the end of its log ---\n%s" % self.log.rstrip() if self.log else ""
        return super().__str__() + log


class JobFailed(JobError):
    """The script failed, the process was killed, or the node could not start it."""


class JobTimeout(JobError, TimeoutError):
    """The job ran over its walltime."""


class JobOutOfMemory(JobError, MemoryError):
    """The job used more memory than it had asked for."""


class JobCancelled(JobError):
    """Somebody cancelled the job."""


class CancelledByCaller(JobCancelled, CancelledError):
    """``cancel()`` was called on this job."""


class NodeFailed(JobError):
    """The node went down under the job."""


class JobPreempted(JobError):
    """The job was evicted for one of higher priority and not requeued."""


class ResultLost(JobError):
    """The task ended well, and its result was lost where it waited before any client had fetched it."""


class JobLost(JobError):
    """The job left no trace within the deadline; the message says what was tried."""


class DependencyFailed(JobError):
    """The function was not run: the job ``producer``, whose value was an argument, left none.

    Where that job raised, its exception is the ``__cause__``.
    """

    producer = None  # type: str | None
