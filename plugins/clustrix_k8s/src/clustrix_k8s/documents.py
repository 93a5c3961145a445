"""Objects of the API as data: laid over each other, and as the text that ``kubectl`` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# So that whoever has saved it can run it.
HEAD = "#!/usr/bin/env -S kubectl apply -f\n"


def merged(under: Any, over: Any) -> Any:
    """Lay a patch over an object as the API server does: mounts are joined by their path, other lists by name."""
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        found = {name: merged(under.get(name), value) for name, value in over.items() if value is not None}
        return {**{name: value for name, value in under.items() if over.get(name, value) is not None}, **found}
    if isinstance(under, list) and isinstance(over, (list, tuple)):
        for key in ("mountPath", "name"):
            if all(isinstance(one, Mapping) and key in one for one in [*under, *over]):
                patches = {one[key]: one for one in over}
                joined = [merged(one, patches.pop(one[key], {})) for one in under]
                return [*joined, *(dict(one) for one in patches.values())]
    return over


def text(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return objects as YAML that ``kubectl apply`` takes."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def quoted(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
        # What other readers take for a number, such as 1e5, which a job's id may look like, is quoted.
        style = "|" if "\n" in data else "'" if re.fullmatch(r"[0-9.eE+_-]+", data) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, quoted)
    return HEAD + "---\n".join(
        yaml.dump(document, Dumper=Dumper, sort_keys=False, width=1 << 30, default_flow_style=False)
        for document in documents
    )


def read(script: str) -> Sequence[dict[str, Any]]:
    """Return the objects of a text."""
    import yaml

    return [document for document in yaml.safe_load_all(script) if document]
