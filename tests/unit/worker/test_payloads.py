"""Payloads: a function and its calls in one file, each found by index, big buffers as they are."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.worker import parts, payloads, pickling
from clustrix_core.worker.parts import Parts


def written(path: Path, function: Any, calls: list[Any], **header: Any) -> payloads.Payload:
    with path.open("wb") as file:
        count = payloads.write(file, header, pickling.dump(function), (pickling.dump(call) for call in calls))
    assert count == len(calls)
    return payloads.Payload(str(path))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(function=values, calls=st.lists(values, max_size=5), name=st.text())
def test_function_and_calls_come_back(
    tmp_path_factory: pytest.TempPathFactory, function: Any, calls: list[Any], name: str
) -> None:
    payload = written(tmp_path_factory.mktemp("p") / "payload", function, calls, kind="pickle", name=name)
    assert (payload.header["name"], payload.calls) == (name, len(calls))
    assert payload.function() == function
    for index in reversed(range(len(calls))):
        assert payload.call(index) == calls[index]
    payload.close()


def test_a_call_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    payload = written(tmp_path / "payload", 1, [2, 3])
    for index in (-1, 2):
        with pytest.raises(IndexError):
            payload.call(index)
    payload.close()


def test_a_payload_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "whole", [1, 2], [3, 4]).close()
    whole = (tmp_path / "whole").read_bytes()
    for end in range(len(whole)):
        (tmp_path / "part").write_bytes(whole[:end])
        with pytest.raises((ValueError, OSError, struct.error)):
            payloads.Payload(str(tmp_path / "part"))


def test_arrays_travel_beside_the_stream_and_stay_writable(tmp_path: Path) -> None:
    big = numpy.arange(100_000.0)
    fortran = numpy.asfortranarray(big.reshape(100, 1000))
    sliced = big[::2]
    empty, small = numpy.zeros((0, 3)), numpy.arange(3)
    payload = written(tmp_path / "payload", None, [(big, fortran, sliced, empty, small), b"x", (big, big)])
    for _ in range(2):
        back = payload.call(0)
        for here, there in zip((big, fortran, sliced, empty, small), back, strict=True):
            assert numpy.array_equal(here, there) and here.dtype == there.dtype
        back[0][0] = -1
    assert payload.call(1) == b"x"
    first, second = payload.call(2)
    assert first is second
    payload.close()


def test_buffers_are_aligned(tmp_path: Path) -> None:
    arrays = [numpy.arange(n, dtype=numpy.uint8) for n in (40_001, 50_003, 60_007)]
    packed = pickling.dump(arrays)
    assert len(packed.buffers) == 3
    written(tmp_path / "payload", arrays, [arrays, arrays]).close()
    data = (tmp_path / "payload").read_bytes()
    for array in arrays:
        at = data.find(array.tobytes())
        assert at > 0 and at % payloads.ALIGN == 0


def test_thousands_of_small_arrays_are_not_thousands_of_parts() -> None:
    assert len(pickling.dump([numpy.arange(100) for _ in range(1000)]).sizes()) == 1


def test_writing_copies_no_buffer() -> None:
    array = numpy.zeros(1_000_000)
    (buffer,) = pickling.dump(array).buffers
    assert numpy.shares_memory(numpy.frombuffer(buffer, dtype=float), array)
    big = bytes(1_000_000)
    assert any(chunk is big for chunk in pickling.dump([1, big]).stream)


def test_a_100_mb_array_costs_100_mb_at_either_end(tmp_path: Path) -> None:
    script = (
        "import sys, resource, numpy\n"
        "from clustrix_core.worker import payloads, pickling\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "if sys.argv[1] == 'write':\n"
        "    value = numpy.ones(12_500_000)\n"
        "    with open(sys.argv[2], 'wb') as file:\n"
        "        payloads.write(file, {}, pickling.dump(None), [pickling.dump(value)])\n"
        "else:\n"
        "    assert payloads.Payload(sys.argv[2]).call(0).sum() == 12_500_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    for action in ("write", "read"):
        argv = [sys.executable, "-c", script, action, str(tmp_path / "payload")]
        grown = int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout) * 1024
        assert grown < 1.2 * 100_000_000, action


def test_a_stream_is_loaded_without_out_of_band_buffers_too(tmp_path: Path) -> None:
    stream = pickle.dumps((len, {}), 4)
    with (tmp_path / "payload").open("wb") as file:
        payloads.write(file, {"kind": "pickle"}, Parts([stream[:5], stream[5:]]), [Parts([pickle.dumps(((), {}), 4)])])
    payload = payloads.Payload(str(tmp_path / "payload"))
    assert payload.function() == (len, {})
    payload.close()


def test_a_buffer_that_is_cut_off_is_an_error() -> None:
    packed = pickling.dump(numpy.zeros(100_000))
    data = b"".join(packed.chunks())
    with pytest.raises(EOFError):
        pickling.load(io.BytesIO(data[:-1]), parts.places(0, packed.sizes()))
