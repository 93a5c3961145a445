"""What a plugin says of itself: its hooks, its description, its options."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

from clustrix_core import hookspecs, options
from clustrix_core.model import BackendInfo
from clustrix_core.plugins import JOBS, LISTENERS, MACHINES, Plugins
from clustrix_core.testing.contract.subject import Subject

SLOW = 2.0  # seconds that an import may take beyond that of the plugin API
# A new interpreter: what it has loaded, and what it has done, when the plugin is imported and has described itself.
PROBE = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[2])
import clustrix_core.batch, clustrix_core.hookspecs, clustrix_core.model, clustrix_core.transport
from importlib import import_module
before, did, describing = set(sys.modules), [], False
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork",
                         "os.mkdir", "os.remove", "os.rename", "shutil.", "tempfile.", "sqlite3.", "urllib.")):
        did.append(event)
    elif event == "open":
        path, mode, flags = arguments
        code = str(path).endswith((".py", ".pyc", ".so"))
        if (isinstance(flags, int) and flags & 3) or (describing and not code):
            did.append(f"open {path}")
sys.addaudithook(watch)
began = time.monotonic()
plugin = import_module(sys.argv[1])
imported = time.monotonic()
describing = True
plugin.describe_backend()
describing = False
print(json.dumps({"import": imported - began, "describe": time.monotonic() - imported, "did": did,
                  "modules": sorted(set(sys.modules) - before)}))
"""


class DescriptionContract(Subject):
    """Promises that need nothing but the plugin itself."""

    def test_the_plugin_is_accepted(self, plugins: Plugins, info: BackendInfo) -> None:
        """Registered, the plugin is a backend that nobody disputes."""
        assert plugins.backend(info.name) is info
        assert info.name not in plugins.disputed, str(plugins.disputed)

    def test_hooks_take_what_they_are_given(self, module: ModuleType) -> None:
        """Each hook takes arguments of its specification, by name, and none that has a default."""
        for name in sorted(JOBS | MACHINES | LISTENERS | {"describe_backend"}):
            hook = getattr(module, name, None)
            if hook is None:
                continue
            given = inspect.signature(getattr(hookspecs, name)).parameters
            for word, parameter in inspect.signature(hook).parameters.items():
                assert word in given, f"{name}() takes {word!r}, but there are only {', '.join(given)}: rename it"
                assert parameter.default is inspect.Parameter.empty, (
                    f"{name}(): {word} has a default, so it is never given: write it without one"
                )

    def test_hooks_keep_no_state(self, module: ModuleType) -> None:
        """Hooks are plain functions of a module: the same plugin serves many clusters and threads."""
        for name in sorted((JOBS | MACHINES | {"describe_backend"}) & vars(module).keys()):
            assert inspect.isfunction(getattr(module, name)), f"{name} is no plain function: write `def {name}(…)`"

    def test_describing_does_nothing(self, module: ModuleType) -> None:
        """Import and ``describe_backend`` do no I/O, load no client library, and are quick."""
        seen = _probed(module)
        for _ in range(2):  # a busy machine is no slow plugin
            if max(seen["import"], seen["describe"]) > SLOW:
                seen = min(seen, _probed(module), key=lambda one: float(one["import"] + one["describe"]))
        assert seen["did"] == [], f"describing the backend did {seen['did']}: leave it to `check` and `provision`"
        foreign = sorted({name.partition(".")[0] for name in seen["modules"]} - _known(module))
        assert foreign == [], f"importing the plugin imports {', '.join(foreign)}: import them where they are used"
        assert seen["import"] < SLOW, f"the import takes {seen['import']:.1f} s: import what is heavy where it is used"
        assert seen["describe"] < SLOW, f"describe_backend takes {seen['describe']:.1f} s: it returns a constant"

    def test_describing_says_the_same_twice(self, module: ModuleType, info: BackendInfo) -> None:
        """``describe_backend`` returns the same BackendInfo each time."""
        assert module.describe_backend() == info, "describe_backend returns something else each time"
        assert info.summary.strip() and "\n" not in info.summary, "give BackendInfo a summary of one line"

    def test_options_are_documented(self, info: BackendInfo) -> None:
        """Each option has a help text, from which flags, tables and the JSON schema are made."""
        for name, setting in options.settings(info.options).items():
            assert setting.help.strip(), (
                f'{info.options.__name__}.{name} has no help: field(default=…, metadata={{"help": "what it does"}})'
            )
        options.table(info.options)

    def test_options_are_safe(self, info: BackendInfo) -> None:
        """Options are frozen, have types that can be read from files and flags, and secrets are never shown."""
        parameters = info.options.__dataclass_params__  # type: ignore[attr-defined]
        assert parameters.frozen, f"{info.options.__name__} can be changed by anybody: @dataclass(frozen=True)"
        json.dumps(options.schema(info.options))
        options.flags(info.options, info.name)
        shown = {field.name: field.repr for field in dataclasses.fields(info.options)}
        for name, setting in options.settings(info.options).items():
            assert setting.type is not Any and setting.type is not object, f"{name}: give it a type of its own"
            assert not (setting.secret and shown[name]), f"{name} is a secret and shown: field(repr=False, …)"


def _probed(module: ModuleType) -> dict[str, Any]:
    argv = [sys.executable, "-B", "-c", PROBE, module.__name__, json.dumps(sys.path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, f"the plugin does not import in a new interpreter:\n{done.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _known(module: ModuleType) -> set[str]:
    mine = {module.__name__.partition(".")[0], "clustrix_core"}
    return mine | set(sys.stdlib_module_names)
