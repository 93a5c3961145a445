"""The Kubernetes backend keeps the contract, on a real cluster, as a user with the documented rights and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clustrix_core import bundle
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ConfigError
from clustrix_core.model import BackendInfo, Cluster, JobSpec, Site
from clustrix_core.plugins import Plugins
from clustrix_core.testing import BackendContract
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.transports import Beside, Deaf, Failing
from clustrix_core.transport import Completed, Transport
from clustrix_core.transport.counting import Counting
from clustrix_k8s import manifest
from clustrix_k8s.api import Api
from tests.testbeds.kubernetes import KubernetesBed

CLAIM = "shared"


def reached(bed: KubernetesBed, **more: Any) -> ClusterConfig:
    """Return the settings of the bed."""
    options = {"kubeconfig": str(bed.kubeconfig), "image": bed.image, "image_pull_policy": "Never"}
    return ClusterConfig(**({"name": "k8s", "backend": "k8s", "options": options} | more))


@pytest.mark.usefixtures("k8s_bed")
class TestKubernetes(BackendContract):
    plugin = "k8s"
    golden = Path(__file__).parent / "golden" / "k8s"
    refused: ClassVar = {"partition": "no-such-partition"}
    mark = "probe"  # of what the first contact takes

    @pytest.fixture
    def cluster(self, k8s_bed: KubernetesBed) -> ClusterConfig:
        return reached(k8s_bed)

    def scripts(self, info: BackendInfo) -> Mapping[str, tuple[JobSpec, Cluster]]:
        # Pods share no files, so no job takes another one's value.
        cases = {name: case for name, case in super().scripts(info).items() if name != "after"}
        job, cluster = cases["array"]
        newer = Site(cluster.work_dir, (3, 11), scheduler=manifest.INDEXED)
        return {**cases, "indexed": (job, cluster.at(newer))}

    def render(self, plugins: Plugins, job: JobSpec, cluster: Cluster) -> str:
        # This name changes with each version, as that of the worker's directory does.
        script = super().render(plugins, job, cluster)
        return script.replace(manifest.worker_name(bundle.digest()), "clustrix-worker-WORKER")

    def outages(self, transport: Transport) -> Iterator[tuple[str, Transport]]:
        yield "the server is overloaded", Failing(transport, returncode=503)
        yield "the server answers nonsense", Failing(transport)

    def holdings(self, cluster: Cluster) -> object:
        path = f"/apis/batch/v1/namespaces/clustrix/jobs?labelSelector=clustrix%2F{self.mark}"
        said = cluster.transport.run(f"GET {path}")
        assert said.returncode == 0, said.text
        return sorted(line for line in said.text.split('"') if line.startswith(f"clustrix-{self.mark}-"))

    def test_no_text_is_run(self, bench: Bench) -> None:
        """Labels and values of variables reach the job as they are, and no shell ever runs them."""
        text = 'it\'s "$(echo run >&2)" `echo run >&2`; echo run >&2\n\u2603 \u00e9 \\ $HOME $(HOSTNAME) %s #'
        handle = bench.ended('printf "<%s>" "$CONTRACT_TEXT"', label=text, env={"CONTRACT_TEXT": text})
        assert bench.log(handle) == f"<{text}>"

    @pytest.mark.parametrize("odd", ["~/jobs", "jobs", "/a:b", "/two\nlines"])
    def test_any_work_dir_will_do(self, bench: Bench, odd: str) -> None:
        """What is no path in a pod is refused by a ConfigError."""
        with pytest.raises(ConfigError, match="no absolute path"):
            bench.dispatch.render_script(bench.job("true"), dataclasses.replace(bench.cluster, work_dir=odd))

    def test_jobs_run_in_any_work_dir(self, bench: Bench) -> None:
        """Jobs run in a work_dir full of quotes, spaces and metacharacters."""
        odd = '/it\'s a "dir" $(touch trap); `touch trap` \u2603 %a #/$HOME'
        plain = bench.cluster
        bench.cluster = bench.dispatch.provision(dataclasses.replace(plain, work_dir=odd, site=None))
        handle = bench.ended("ls -d / /trap* trap* 2>/dev/null || true")
        assert bench.log(handle) == "/\n", "a part of work_dir was run by a shell"
        bench.clear()
        bench.cluster = plain


class TestSharedVolume(TestKubernetes):
    """The same where all pods share a volume: there core's own toolkit does what it does for batch clusters."""

    golden = Path(__file__).parent / "golden" / "k8s-claim"
    options: ClassVar = {"claim": CLAIM}
    mark = "door"

    @pytest.fixture
    def cluster(self, k8s_bed: KubernetesBed) -> ClusterConfig:
        options = {"kubeconfig": str(k8s_bed.kubeconfig), "image": k8s_bed.login, "image_pull_policy": "Never"}
        return reached(k8s_bed, options={**options, "claim": CLAIM})

    def scripts(self, info: BackendInfo) -> Mapping[str, tuple[JobSpec, Cluster]]:
        return BackendContract.scripts(self, info)

    def test_a_lost_answer_leaves_one_job(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The answer that is lost is that which says that there is a job: staged files are none."""

        def reach(self: Deaf, command: str, *rest: Any) -> Completed:
            way = plain if command.startswith("CREATE") else Beside.reach
            return way(self, command, *rest)

        plain = Deaf.reach
        monkeypatch.setattr(Deaf, "reach", reach)
        super().test_a_lost_answer_leaves_one_job(bench)

    def test_jobs_run_in_any_work_dir(self, bench: Bench) -> None:
        """The door of each work_dir is another: there the volume is mounted elsewhere."""
        plain, odd = bench.cluster, '/it\'s a "dir" $(touch trap); `touch trap` \u2603 %a #/$HOME'
        bench.cluster = dataclasses.replace(plain, transport=Counting(Api(plain.options, odd, plain.python)))
        try:
            super().test_jobs_run_in_any_work_dir(bench)
        finally:
            bench.dispatch.release(dataclasses.replace(bench.cluster, work_dir=odd))
            bench.cluster.transport.close()
            bench.cluster = plain
