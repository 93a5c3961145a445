"""Write the pages of `docs/` that are generated from the code.

python tools/docs.py            write them
python tools/docs.py --check    say which are out of date, and fail if any is
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli_page import command_line  # noqa: E402
from hooks_page import hooks  # noqa: E402
from plugin_page import write_a_plugin  # noqa: E402
from travels_page import what_travels  # noqa: E402

from clustrix_core import options  # noqa: E402
from clustrix_core.config import ClusterConfig  # noqa: E402
from clustrix_core.config.environ import variables  # noqa: E402
from clustrix_core.config.old import BACKENDS, DROPPED, OLD  # noqa: E402
from clustrix_core.resources import Resources  # noqa: E402

CONFIGURATION = """\
# Configuration

Nothing needs to be configured to run calls on this machine. A cluster is described in a file, in environment
variables, or in the program; `clustrix init` asks and writes the file.

```yaml
default: hpc
clusters:
  hpc:
    backend: slurm
    host: login.hpc.example        # absent: this machine is the login node
    user: ada
    work_dir: /scratch/ada/clustrix
    resources: {{cores: 4, memory: 8GB, time: "01:00:00", partition: short}}
  desk:
    backend: ssh
    host: desk.example
```

## Where it is found
`$CLUSTRIX_CONFIG`, else the first `clustrix.yml`, `clustrix.yaml` or `clustrix.json` in the working directory, in
`~/.clustrix/` (or `$CLUSTRIX_HOME`) and in `/etc/clustrix/`. One file is read, never several.

`default` names the cluster that is meant where none is named. Without it the only cluster is meant; where there are
several, a name must be given. The cluster `local`, this machine, is always there.

An unknown key, a key that is there twice and a value that does not fit are errors that name file, line and the
nearest known name. Text is taken as typed: `account: 007` and `partition: no` need no quotes, and `time: 10:00:00`
means the same with and without them. A mapping is merged in with `<<: *anchor`.

A password or a token in the file is refused unless only you can read it (`chmod 600 clustrix.yml`; not checked on
Windows). Clustrix writes none. Rather use a key or an agent, or `transport: openssh`.

## What goes before what
1. what the program says: `@cluster(cores=8)`, `.options(...)`, `configure(...)`
2. the file
3. environment variables
4. the defaults below

Environment variables fill in what the file leaves out: resources of every cluster, everything else of the default
cluster only, so that no other host gets a user name or a password that was not meant for it.

In a program, `configure(cores=8)` changes the default cluster, `configure(name="desk", cores=8)` another one, and
`configure(backend="slurm", host="login.hpc.example")` adds one and makes it the default. `ClusterConfig(...)` takes
the same names.

## A cluster
{cluster}
`clustrix config schema` prints a JSON schema, with the options of all backends that are installed, for editors.

## Resources
Those of ONE call. They stand under `resources:`, or directly among the settings of a cluster (`queue` is another word
for `partition`), and are what every call on that cluster starts from.

{resources}
Memory counts in powers of 1024: `8GB`, `8G` and `8GiB` are the same. A walltime is written `01:30:00`, `2-00:00:00`,
`90m`, `36h` or as a number of seconds; `1:30` is refused, because it is minutes to one scheduler and hours to
another.

## Environment variables
A list is written with commas, a mapping as `A=1,B=2`. `CLUSTRIX_DEFAULT` names the default cluster,
`CLUSTRIX_SSH_CONFIG` another file in place of `~/.ssh/config`.

{variables}

## The older, flat form
A file without `clusters:` describes one cluster. It may use the names above, or those of the first Clustrix, which
`ClusterConfig` and `configure` take too. {aliases}

{old}
These have no effect any more; `clustrix config check` and a warning say so:

{dropped}
"""


def configuration() -> str:
    """Return the configuration reference."""
    aliases = ", ".join(f"`cluster_type: {old}` is `backend: {new}`" for old, new in BACKENDS.items())
    return CONFIGURATION.format(
        cluster=options.table(ClusterConfig),
        resources=options.table(Resources),
        variables=", ".join(f"`{name}`" for name in variables()),
        aliases=f"{aliases[:1].upper()}{aliases[1:]}.",
        old=rows("older name", "name", {old: f"`{new}`" for old, new in OLD.items()}),
        dropped=rows("older name", "why", DROPPED),
    )


def rows(left: str, right: str, pairs: dict[str, str]) -> str:
    """Return a Markdown table; names with the same right side share a row."""
    names: dict[str, list[str]] = {}
    for name, text in pairs.items():
        names.setdefault(text, []).append(f"`{name}`")
    lines = [f"| {', '.join(found)} | {text} |" for text, found in names.items()]
    return "\n".join([f"| {left} | {right} |", "|---|---|", *lines, ""])


# Each page and the function that returns its text.
PAGES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration,
    "docs/cli.md": command_line,
    "docs/hooks.md": hooks,
    "docs/write-a-plugin.md": write_a_plugin,
    "docs/what-travels.md": what_travels,
}


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = []
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if check and stale:
        print(f"out of date: {', '.join(stale)}; run python tools/docs.py", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
