"""The plugin authors' kit: a contract to hold a backend to, and fixtures to test plugins with. Needs pytest 8.3.

    from clustrix_core.testing import BackendContract

    class TestMine(BackendContract):
        plugin = "mine"

        @pytest.fixture
        def cluster(self, tmp_path):
            return ClusterConfig(backend="mine", work_dir=str(tmp_path / "work"))

pytest finds the fixtures by itself. Names are imported at first use, so that whoever runs pytest for something else
pays nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustrix_core.testing.contract import BackendContract, DescriptionContract, ScriptContract
    from clustrix_core.testing.contract.bench import Bench
    from clustrix_core.testing.distributions import Distributions
    from clustrix_core.testing.programs import Programs
    from clustrix_core.testing.recorder import HookCall, Recorder
    from clustrix_core.testing.transports import FakeTransport

_HOMES = {
    "BackendContract": "contract",
    "Bench": "contract.bench",
    "DescriptionContract": "contract",
    "Distributions": "distributions",
    "FakeTransport": "transports",
    "HookCall": "recorder",
    "Programs": "programs",
    "Recorder": "recorder",
    "ScriptContract": "contract",
}

__all__ = [
    "BackendContract",
    "Bench",
    "DescriptionContract",
    "Distributions",
    "FakeTransport",
    "HookCall",
    "Programs",
    "Recorder",
    "ScriptContract",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
