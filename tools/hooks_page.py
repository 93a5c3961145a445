"""The reference of the hooks, docs/hooks.md, made from their specifications and from the nouns that they speak in."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Iterator
from types import FunctionType

from clustrix_core import hookspecs, model
from clustrix_core.plugins import JOBS, LISTENERS, MACHINES, SLOW_IMPORT
from clustrix_core.resources import Resources

PAGE = """\
# Hooks

The reference. [How to write a plugin](write-a-plugin.md) goes through it step by step, and `clustrix plugin new` writes
one to begin with.

A plugin is a module with functions marked `@hookimpl`, in a distribution with an entry point of the group `{group}`:

```toml
[project.entry-points.{group}]
acme = "clustrix_acme"
```

It imports `clustrix_core.{{hookspecs,batch,model,transport,errors,bundle}}` and nothing else of Clustrix: that is the
plugin API, version {version}, semantically versioned. Its functions keep no state, and take those of the arguments
below that they need.

A backend answers `describe_backend` and {jobs};
or, where it only brings up machines for another backend, `describe_backend`, {machines}.
Exactly one backend answers a call: that of the cluster. Any other plugin may wrap these hooks, on every backend, and
hear:

```python
import time

from clustrix_core.hookspecs import hookimpl

LOG = []


@hookimpl(wrapper=True)
def submit(job, cluster):
    start = time.monotonic()
    handle = yield
    LOG.append(f"{{cluster.name}}: {{job.name}} is {{handle.native}}, after {{time.monotonic() - start:.1f}} s")
    return handle


@hookimpl
def job_changed(handle, after):
    LOG.append(f"{{handle.name}}: {{after.state}}")
```

For a batch scheduler all hooks follow from a `Dialect`, which says what that scheduler says differently:

```python
from dataclasses import dataclass

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo, JobState


@dataclass(frozen=True)
class AcmeOptions:
    pass


def read(handles, answer):
    for line in answer.splitlines():
        native, name, word = line.split()
        yield batch.Row(native, name, word)


ACME = batch.Dialect(
    name="acme",
    directives=lambda job, cluster: [f"#ACME --name={{job.name}} --cores={{job.resources.cores * job.width}}"],
    submit=lambda job, cluster: ["acme", "submit", f"job-{{job.round}}.sh"],
    read_job_id=lambda answer: answer.split()[-1],
    queries=[batch.Query(lambda handles, cluster: ["acme", "queue"], read)],
    cancel=lambda handles, cluster: ["acme", "cancel", *(handle.name for handle in handles)],
    states={{"QUEUED": JobState.PENDING, "RUNNING": JobState.RUNNING, "DONE": JobState.SUCCEEDED}},
    task="${{ACME_TASK:-0}}",
    directory="$ACME_SUBMIT_DIR",
    native="$ACME_JOB",
)


@hookimpl
def describe_backend():
    return BackendInfo("acme", AcmeOptions, "the scheduler of Acme Corporation")


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(ACME, __name__)
```

An odd scheduler writes one hook by hand, below that line, and keeps the others.

## What is refused
A hook that does not exist, or arguments that it does not have; a second plugin for one backend (neither answers until
one of them is gone); a backend that lacks a hook; a hook function imported from elsewhere than the plugin's package;
a plugin that is no backend and answers without wrapping; a backend that also wraps (its wrapper would vanish on other
backends); a wrapper around what is only heard.

A plugin that cannot be used is listed by `clustrix plugins` with the reason, and raises only when its backend is asked
for. An import of more than {slow:g} s is named on stderr; `CLUSTRIX_DISABLE_PLUGINS=acme,other` leaves plugins out
before they are imported.

A hook that promises a value and answers None is an error that names it; only {silent} may.
No wrapper, however late, gets between the backend and the journal: a submitted job is on disk before any other code can
raise. A wrapper that raises after the backend has answered, or returns None in the answer's place, is logged, and the
answer counts.

## The hooks
{hooks}
## The nouns
All in `clustrix_core.model`: frozen dataclasses, data only.

{nouns}"""


def hooks() -> str:
    """Return the page."""
    return PAGE.format(
        group=hookspecs.GROUP,
        version=model.PLUGIN_API,
        jobs=listed(sorted(JOBS, key=place)),
        machines=listed(sorted(MACHINES, key=place), "and"),
        silent=listed(["find", "cancel", "release"], "and"),
        slow=SLOW_IMPORT,
        hooks="\n".join(section(name, hook) for name, hook in specified()),
        nouns="\n".join(noun(kind) for kind in kinds()),
    )


def specified() -> Iterator[tuple[str, FunctionType]]:
    """Yield the hooks in the order of their specifications."""
    for name, hook in vars(hookspecs).items():
        if isinstance(hook, FunctionType) and hasattr(hook, "clustrix_spec"):
            yield name, hook


def place(name: str) -> int:
    return [hook for hook, _ in specified()].index(name)


def listed(names: list[str], word: str = "") -> str:
    """Return names as a sentence lists them."""
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} {word} {quoted[-1]}" if word else ", ".join(quoted)


def section(name: str, hook: FunctionType) -> str:
    signature = inspect.signature(hook)
    promised = str(signature.return_annotation)
    if name != "find":  # the None there only says that a plugin may leave the hook out
        promised = promised.removesuffix(" | None")
    types = ", ".join(f"`{word}: {parameter.annotation}`" for word, parameter in signature.parameters.items())
    return "\n".join(
        [
            f"### `{name}({', '.join(signature.parameters)})`",
            f"{who(name)} {types + ' ' if types else ''}→ `{promised}`",
            "",
            *paragraphs(hook.__doc__),
            "",
        ]
    )


def who(name: str) -> str:
    """Return who answers a hook, and who must."""
    if name == "describe_backend":
        return "Makes a plugin a backend, so every backend answers it."
    if name in LISTENERS:
        return "Every plugin that has it hears; none must."
    must = "a backend must have it" if name in JOBS else "a backend may leave it out, unless it only brings up machines"
    return f"The cluster's backend answers, others may wrap; {must}."


def paragraphs(text: str | None) -> list[str]:
    """Return a docstring as Markdown: a paragraph a line, names in single backquotes."""
    parts = inspect.cleandoc(text or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts).split("\n")


def kinds() -> Iterator[type]:
    """Yield the nouns in the order of their module, and what a call may ask for."""
    for kind in [*vars(model).values()]:
        if isinstance(kind, type) and kind.__module__ == model.__name__:
            yield kind
    yield Resources


def noun(kind: type) -> str:
    lines = [f"### `{kind.__name__}`", *paragraphs(kind.__doc__), ""]
    if issubclass(kind, enum.Enum):
        lines += [", ".join(f"`{member.name}`" for member in kind), ""]
    elif dataclasses.is_dataclass(kind):
        lines += ["| field | type |", "|---|---|"]
        lines += [
            f"| `{one.name}` | `{one.type}` |".replace(" | None`", " \\| None`") for one in dataclasses.fields(kind)
        ]
        lines.append("")
    return "\n".join(lines)
