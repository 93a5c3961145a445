"""Make `.venv` and print the path of its Python. Needs the standard library of any Python >= 3.10 and nothing else.

    python3 tools/bootstrap.py demo     the library alone
    python3 tools/bootstrap.py dev      the library, its plugins and the tools that tests and checks need

It uses uv when that is on PATH and pip otherwise, and does nothing when the pyproject files have not changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
# A profile holds everything that an earlier one holds.
PROFILES = ("demo", "test", "real", "dev")
STAMP = "clustrix-stamp"


def say(text: str) -> None:
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def run(*argv: str | Path) -> None:
    """Run a command with its output on stderr: stdout carries the answer of this script."""
    subprocess.run([str(word) for word in argv], check=True, stdout=sys.stderr, cwd=ROOT)


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_debian_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and Path("/etc/debian_version").exists()


def has_ensurepip(python: str) -> bool:
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0


def apt_install(*packages: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0", *words]
        subprocess.run(argv, check=True, env=env, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def make_venv(venv: Path, python: str) -> None:
    if uv := shutil.which("uv"):
        run(uv, "venv", "--quiet", "--clear", "--python", python, venv)
        return
    if not has_ensurepip(python):
        if not is_debian_root():
            raise SystemExit(f"bootstrap: {python} cannot make a venv: install its venv package (python3-venv) or uv")
        say("installing python3-venv")
        apt_install("python3-venv")
    run(python, "-m", "venv", "--clear", venv)
    # Dependency groups need pip 25.1.
    run(venv_python(venv), "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")


def install(venv: Path, words: Sequence[str | Path]) -> None:
    python = venv_python(venv)
    if uv := shutil.which("uv"):
        run(uv, "pip", "install", "--quiet", "--python", python, *words)
    else:
        run(python, "-m", "pip", "install", "--quiet", *words)


def requirements(profile: str) -> list[str | Path]:
    if profile == "demo":
        return ["-e", ROOT]
    editable: list[str | Path] = ["-e", f"{ROOT}[ssh]"]
    for plugin in PLUGINS:
        editable += ["-e", plugin]
    return [*editable, "--group", profile]


def fingerprint(python: str, extra: str) -> str:
    digest = hashlib.sha256(f"{python}\n{extra}\n".encode())
    for path in [ROOT / "pyproject.toml", *(plugin / "pyproject.toml" for plugin in PLUGINS)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def ready(venv: Path, profile: str, mark: str) -> bool:
    stamp = venv / STAMP
    if not venv_python(venv).exists() or not stamp.is_file():
        return False
    had, has_mark = stamp.read_text().split()
    return has_mark == mark and PROFILES.index(had) >= PROFILES.index(profile)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two makes at once must not build one venv together. Without fcntl (Windows) they are not kept apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(venv: Path, profile: str, python: str = sys.executable, constraints: str = "") -> Path:
    """The Python of a venv that holds `profile`. `constraints` is the text of a constraints file."""
    python = os.path.realpath(python)
    mark = fingerprint(python, constraints)
    with locked(ROOT / ".venvs" / f"{venv.name}.lock"):
        if not ready(venv, profile, mark):
            build(venv, profile, python, constraints)
            (venv / STAMP).write_text(f"{profile} {mark}\n")
    return venv_python(venv)


def build(venv: Path, profile: str, python: str, constraints: str) -> None:
    say(f"making {venv.relative_to(ROOT)} ({profile})")
    made_with = venv / "clustrix-python"
    # Somebody may be using the venv: it is emptied only where its Python is another one.
    if not venv_python(venv).exists() or not made_with.exists() or made_with.read_text() != python:
        make_venv(venv, python)
        made_with.write_text(python)
    words = requirements(profile)
    if constraints:
        file = venv / "constraints.txt"
        file.write_text(constraints)
        words += ["-c", file]
    install(venv, words)
    if PROFILES.index(profile) >= PROFILES.index("real"):
        # Thousands of files of which the tests import some: compiling them all takes longer than all else.
        install(venv, ["--no-compile", "--group", "snippets"])


def main() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036
        raise SystemExit("bootstrap: Clustrix needs Python >= 3.10")
    profile = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if profile not in PROFILES:
        raise SystemExit(f"bootstrap: no profile {profile!r}; there are {', '.join(PROFILES)}")
    try:
        print(ensure(ROOT / ".venv", profile))
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bootstrap: {error}") from None


if __name__ == "__main__":
    main()
