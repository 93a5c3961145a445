"""From settings to a cluster that is ready: transports are shared, first contacts remembered."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from clustrix_core import bundle, config, entry
from clustrix_core.config import ClusterConfig
from clustrix_core.dispatch import Dispatch
from clustrix_core.journal import Journal
from clustrix_core.model import BackendInfo, Cluster, Site
from clustrix_core.resources import Resources
from clustrix_core.transport import Transport
from clustrix_core.transport.connect import connect
from clustrix_core.transport.login import Login

FRESH = 60.0  # seconds for which what was seen of free room is used for packing
_LOGIN = ("host", "port", "user", "key_file", "known_hosts", "proxy_jump", "ssh_config", "password")


class Places:
    """The clusters of one process, each with its one connection."""

    def __init__(self, dispatch: Dispatch, journal: Journal) -> None:
        self._dispatch = dispatch
        self._journal = journal
        self._transports: dict[str, Transport] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def cluster(self, settings: ClusterConfig, resources: Resources) -> Cluster:
        """Return the cluster of these settings, not yet contacted. Raises ConfigError, BackendNotInstalled."""
        info = self._dispatch.backend(settings.backend)
        python = settings.python or (shlex.quote(sys.executable) if info.here else "python3")
        return Cluster(
            name=settings.name,
            backend=settings.backend,
            options=settings.typed_options(info),
            transport=self._transport(settings, info, python),
            work_dir=settings.work_dir,
            python=python,
            resources=resources,
        )

    def ready(self, cluster: Cluster, *, fresh: bool = False, again: bool = False) -> Cluster:
        """Return the cluster with its site: remembered, or asked for. ``fresh``: what is free must be recent."""
        key = self._key(cluster)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            site = self._journal.site(key)
            if site is None or again or (fresh and time.time() - site.seen > FRESH):
                cluster = self._dispatch.provision(cluster)
                site = cluster.site
                if site is not None:
                    self._journal.remember(key, site)
            return cluster.at(site) if site is not None else cluster

    def remembered(self, cluster: Cluster) -> Site | None:
        """Return what the first contact has learnt, without a new one."""
        return self._journal.site(self._key(cluster))

    def python(self, cluster: Cluster) -> tuple[int, int] | None:
        """Return the version of the Python that calls will run on, where it is known without a contact."""
        if cluster.transport.here and cluster.python == shlex.quote(sys.executable) and not cluster.resources.modules:
            return sys.version_info[:2]
        site = self.remembered(cluster)
        return site.python if site is not None else None

    def _key(self, cluster: Cluster) -> str:
        """Return under what a first contact is remembered: another host or worker needs one of its own."""
        with self._lock:
            logins = [json.loads(key) for key, transport in self._transports.items() if transport is cluster.transport]
        way = [[kind, {**login, "password": None}] for kind, login in logins]
        place = [cluster.name, cluster.backend, cluster.work_dir, cluster.python, cluster.resources.partition]
        return json.dumps([*place, bundle.digest(), way])

    def _transport(self, settings: ClusterConfig, info: BackendInfo, python: str) -> Transport:
        if info.connect is not None:
            options = settings.typed_options(info)
            way = {**dataclasses.asdict(options), "work_dir": settings.work_dir, "python": python}
            return self._shared(info.name, way, partial(info.connect, options, settings.work_dir, python))
        kind = settings.transport or ("paramiko" if settings.host else "local")
        login = {name: getattr(settings, name) for name in _LOGIN if getattr(settings, name) is not None}
        return self._shared(kind, login, partial(connect, kind, Login(**login) if settings.host else None))

    def _shared(self, kind: str, login: Mapping[str, Any], make: Callable[[], Transport]) -> Transport:
        key = json.dumps([kind, login], sort_keys=True, default=str)
        with self._lock:
            if key not in self._transports:
                self._transports[key] = make()
            return self._transports[key]

    def close(self) -> None:
        """Drop all connections."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()


def to_json(settings: ClusterConfig) -> dict[str, Any]:
    """Return settings as JSON-safe data, without secrets."""
    plain = {"name": settings.name, "backend": settings.backend, **settings.public()}
    return json.loads(json.dumps(plain, default=list))  # type: ignore[no-any-return]


def place(settings: ClusterConfig) -> str:
    """Return where the files of jobs with these settings are, as the journal says it."""
    return entry.place(to_json(settings))


def from_json(data: Mapping[str, Any]) -> ClusterConfig:
    """Return the settings again; secrets come from the present configuration of a cluster of that name."""
    known = config.current().clusters.get(str(data.get("name")))
    if known is not None and to_json(known) == data:
        return known
    return ClusterConfig(**data)
