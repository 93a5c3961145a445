"""Installing what a recipe lists into a new environment: with uv, with pip, or with conda."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
_CONDAS = ("conda", "mamba", "micromamba")
_CONDA_PLACES = ("miniforge3", "mambaforge", "miniconda3", "anaconda3")
_TAIL = 1500  # bytes of what a program has said that an error repeats


class Failed(Exception):
    """Why an environment could not be built, in the words of who tried."""


def stored(file: "Dict[str, str]") -> str:
    """Return where a file that was sent along lies, relative to work_dir: by its hash."""
    return os.path.join("envs", "files", file["sha256"], file["name"])


def needed(recipe: "Dict[str, Any]") -> "List[Dict[str, str]]":
    """Return the files that must be here before it can be built. Who finds a uv here needs no other, and no pip."""
    files = list(recipe["wheels"] + recipe["local"])
    if recipe["conda"]:
        return []
    if recipe["manager"] == "conda" or not _found_uv(recipe):
        files += [recipe[name] for name in ("pip", "uv") if recipe[name]]
    return files


def install(recipe: "Dict[str, Any]", target: str, log: "Any") -> str:
    """Make the environment ``target``, an absolute path; return the version of its Python, as 3.11.

    The working directory is work_dir. Raises Failed.
    """
    run = Runner(log)
    wanted = ".".join(map(str, recipe["version"] or ()))
    if recipe["conda"]:
        os.symlink(_conda_environment(recipe["conda"], run), target)
    elif recipe["manager"] == "conda":
        run([_conda(), "create", "--yes", "--quiet", "--prefix", target, "python=" + wanted])
        _with_pip(recipe, target, run)
    else:
        uv = _uv(recipe)
        if uv:
            _with_uv(uv, recipe, target, run)
        else:
            _venv(target, run)
            _with_pip(recipe, target, run)
    python = os.path.join(target, "bin", "python")
    found = run([python, "-c", _ASK]).strip()
    if wanted and found != wanted:
        raise Failed("its Python is %s, and %s is needed: that of the client" % (found, wanted))
    return found


class Runner:
    """Runs programs; what they say goes to the log."""

    def __init__(self, log: "Any") -> None:
        self._log = log

    def __call__(self, argv: "List[str]", **environment: str) -> str:
        """Return what a program says on stdout. Raises Failed in its own words."""
        self._log.write(("$ %s\n" % " ".join(argv)).encode("utf-8", "replace"))
        start = self._log.seek(0, os.SEEK_END)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=dict(os.environ, **environment),
            )
        except OSError as error:
            raise Failed("%s cannot be run: %s" % (argv[0], error.strerror))
        said = b""
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                self._log.write(line)
                said += line
        if process.returncode:
            with open(self._log.name, "rb") as file:
                file.seek(start)
                words = file.read().decode("utf-8", "replace").strip()
            raise Failed(words[-_TAIL:] or "%s ended with %d" % (argv[0], process.returncode))
        return said.decode("utf-8", "replace")


def _venv(target: str, run: Runner) -> None:
    try:
        import venv  # noqa: F401
    except ImportError:
        raise Failed(
            "%s has no venv: install python3-venv or uv there, or name another Python (python:)" % sys.executable
        )
    # Without pip: Debian's bare python3 has none to put there.
    run([sys.executable, "-m", "venv", "--without-pip", target])


def _with_pip(recipe: "Dict[str, Any]", target: str, run: Runner) -> None:
    python = os.path.join(target, "bin", "python")
    path = [os.path.abspath(stored(recipe["pip"]))] if recipe["pip"] else []
    if not path or not _runs_pip(python, path[0]):
        path = []
        run([python, "-m", "ensurepip"])
    words = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    run(words + _arguments(recipe, target), PYTHONPATH=os.pathsep.join(path))


def _runs_pip(python: str, wheel: str) -> bool:
    """Return whether the pip that was brought along knows this Python, which may be older than the client's."""
    done = subprocess.run(
        [python, "-m", "pip", "--version"],
        env=dict(os.environ, PYTHONPATH=wheel),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return not done.returncode


def _with_uv(uv: str, recipe: "Dict[str, Any]", target: str, run: Runner) -> None:
    run([uv, "venv", "--quiet", "--python", sys.executable, target])
    words = [uv, "pip", "install", "--compile-bytecode", "--python", os.path.join(target, "bin", "python")]
    run(words + _arguments(recipe, target))


def _arguments(recipe: "Dict[str, Any]", target: str) -> "List[str]":
    """Return the arguments that pip and uv have in common; what they name is written beside ``target``."""
    words = []
    for name, option in (("lines", "-r"), ("constraints", "-c")):
        path = "%s.%s.txt" % (target, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(_placed(line) + "\n" for line in recipe[name]))
        words += [option, path] if recipe[name] else []
    if recipe["index"]:
        words += ["--index-url", recipe["index"]]
    if recipe["offline"]:
        words += ["--no-index"]
    for place in recipe["find_links"]:
        words += ["--find-links", place]
    if recipe["wheels"]:
        words += ["--find-links", _wheelhouse(recipe["wheels"], target + ".wheels")]
    return words


def _placed(line: str) -> str:
    """Return a requirement; what came along with the recipe gets the address of its file here."""
    name, at, address = line.partition(" @ clustrix:")
    if not at:
        return line
    digest, _, file = address.partition("/")
    path = os.path.abspath(stored({"sha256": digest, "name": file}))
    return "%s @ file://%s" % (name, urllib.request.pathname2url(path))


def _wheelhouse(wheels: "List[Dict[str, str]]", path: str) -> str:
    os.makedirs(path, exist_ok=True)
    for wheel in wheels:
        os.symlink(os.path.abspath(stored(wheel)), os.path.join(path, wheel["name"]))
    return path


def _found_uv(recipe: "Dict[str, Any]") -> "Optional[str]":
    if recipe["manager"] not in ("auto", "uv"):
        return None
    home = os.path.expanduser("~")
    places = [os.environ.get("PATH", os.defpath), os.path.join(home, ".local/bin"), os.path.join(home, ".cargo/bin")]
    return shutil.which("uv", path=os.pathsep.join(places))


def _uv(recipe: "Dict[str, Any]") -> "Optional[str]":
    """Return uv: the one that is here, or the one that was brought along."""
    found = _found_uv(recipe)
    if not found and recipe["uv"]:
        found = os.path.abspath(stored(recipe["uv"]))
        os.chmod(found, 0o700)
    if not found and recipe["manager"] == "uv":
        raise Failed("there is no uv on PATH, and none could be brought along: install it here or there")
    return found


def _conda() -> str:
    home = os.path.expanduser("~")
    places = [os.path.join(home, place, "bin") for place in _CONDA_PLACES] + ["/opt/conda/bin"]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath)] + places)
    found = [os.environ.get("CONDA_EXE")] + [shutil.which(name, path=path) for name in _CONDAS]
    for one in found:
        if one:
            return one
    raise Failed("there is no conda, mamba or micromamba on PATH: modules: may bring one")


def _conda_environment(name: str, run: Runner) -> str:
    """Return the directory of a conda environment that exists."""
    known = json.loads(run([_conda(), "env", "list", "--json"]))["envs"]
    for path in known:
        if os.path.basename(path) == name or path == name:
            return str(path)
    names = ", ".join(sorted(os.path.basename(path) for path in known))
    raise Failed("conda has no environment %r; there are: %s" % (name, names or "none"))
