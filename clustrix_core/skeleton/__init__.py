"""The skeletons of plugins: whole distributions whose tests pass, called acme, until they get a name of their own.

Their files are data, with ``.txt`` at the end of their names, so that nothing here takes them for code of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clustrix_core.errors import ConfigError

KINDS: Mapping[str, str] = {
    "backend": "answers for a scheduler, which is a toy until you put yours in its place",
    "wrapper": "looks on while any backend works: it wraps `submit`, hears of jobs and adds a command",
}
LONGEST = 40
_HERE = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_WORDS = re.compile("clustrix_acme|test_acme|Acme|ACME|acme")


def named(name: str) -> str:
    """Return the name of a plugin as it is. Raises ConfigError for one that no backend or package can have."""
    hint = "Small letters, digits and single hyphens, a letter first; the package will be called clustrix-NAME."
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise ConfigError(f"{name!r} is not a name for a plugin", hint=hint)
    if name.partition("-")[0] == "clustrix":
        raise ConfigError(f"{name!r} would become clustrix-{name}", hint=f"Say {name[9:] or 'what it is for'!r}.")
    return name


def write(name: str, kind: str, directory: Path) -> Sequence[Path]:
    """Write a distribution into a new directory; return its files, relative to it.

    Raises ConfigError where the name is none, or where something is there already, and then writes nothing.
    """
    files = dict(_files(named(name), kind))
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{directory} is there already", hint="--directory names another one.") from None
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror or error}") from None
    for file, text in files.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(text, "utf-8")
        if text.startswith("#!") and file.parent.name == "bin":
            (directory / file).chmod(0o755)
    return sorted(files)


def _files(name: str, kind: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a skeleton with the name in the place of acme, in paths too."""
    for house in (_HERE / "both", _HERE / kind):
        for path in sorted(house.rglob("*.txt")):
            file = Path(_renamed(str(path.relative_to(house)).removesuffix(".txt"), name))
            yield file, _renamed(path.read_text("utf-8"), name)


def _renamed(text: str, name: str) -> str:
    """Return a text with the name in the place of acme, written as each place needs it."""
    word = _word(name)
    camel = "".join(part.capitalize() for part in name.split("-"))
    written = {
        "clustrix_acme": f"clustrix_{word}",
        "test_acme": f"test_{word}",
        "Acme": camel,
        "ACME": word.upper(),
        "acme": name,
    }
    return _WORDS.sub(lambda found: written[found[0]], text)


def _word(name: str) -> str:
    return name.replace("-", "_")


__all__ = ["KINDS", "named", "write"]
