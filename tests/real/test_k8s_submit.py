"""A job is many objects: whatever breaks between two of them, the job is there once, and whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import TransportError
from clustrix_core.transport import Completed
from clustrix_k8s.api import Api
from tests.real.test_k8s import _cleared, there
from tests.testbeds.kubernetes import KubernetesBed

__all__ = ["_cleared", "there"]  # fixtures
OBJECTS = 4  # of a map in two pods with arguments that take two Secrets


@cluster(memory="64MB")
def size(data: bytes) -> int:
    return len(data)


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("breaks", range(1, OBJECTS + 1))
def test_a_submission_that_breaks_off_is_made_whole(
    there: Callable[..., ClusterConfig],
    k8s_bed: KubernetesBed,
    monkeypatch: pytest.MonkeyPatch,
    breaks: int,
    heard: bool,
) -> None:
    """The connection breaks at one of the objects, before the server has heard of it or after."""
    there(parallelism=2)
    assert size(b"") == 0
    plain, made = Api._request, 0

    def request(self: Api, verb: str, path: str, *rest: Any) -> Completed:
        nonlocal made
        made += verb == "POST"
        if verb != "POST" or made != breaks:
            return plain(self, verb, path, *rest)
        if heard:
            plain(self, verb, path, *rest)
        raise TransportError("the cable was pulled")

    monkeypatch.setattr(Api, "_request", request)
    assert list(size.map([os.urandom(700_000) for _ in range(2)])) == [700_000] * 2
    assert made > OBJECTS, "it did not break"
