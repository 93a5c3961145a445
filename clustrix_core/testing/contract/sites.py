"""Machines and places: provision, check, release."""

from __future__ import annotations

import dataclasses
import json

from clustrix_core.model import Site
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject


class SiteContract(Subject):
    """Promises of the hooks that prepare a cluster."""

    def test_provision_makes_ready(self, bench: Bench) -> None:
        """``provision`` returns the cluster with its site: an absolute work_dir, a Python, a user; JSON-safe."""
        site = bench.cluster.site
        assert site is not None, "provision returned a cluster without a site: `return cluster.at(Site(…))`"
        assert site.work_dir.startswith("/"), f"the site's work_dir {site.work_dir!r} is not absolute"
        assert site.python >= (3, 6) and site.user, f"the site lacks the Python of the jobs, or the user: {site}"
        assert Site.from_json(json.loads(json.dumps(site.to_json()))) == site, "the journal cannot keep this site"

    def test_provision_twice_costs_once(self, bench: Bench) -> None:
        """``provision`` on a cluster that is ready takes nothing more, asks no more, and says the same."""
        held = self.holdings(bench.cluster)
        cost = bench.counted(lambda: self._same(bench))
        assert cost <= 1, f"provision ran {cost} commands on a cluster that is ready: one may ask for all"
        assert self.holdings(bench.cluster) == held, "provision has taken something a second time: look for it first"

    def _same(self, bench: Bench) -> None:
        first, again = bench.cluster.site, bench.dispatch.provision(dataclasses.replace(bench.cluster, site=None)).site
        assert first and again, "provision returned a cluster without a site the second time"
        for name in ("work_dir", "python", "user"):
            assert getattr(again, name) == getattr(first, name), f"provision changed its mind about {name}"

    def test_release_is_safe_to_repeat(self, bench: Bench) -> None:
        """``release`` gives back what ``provision`` took, twice in a row and from nothing; then it can begin anew."""
        bench.dispatch.release(bench.cluster)
        bench.dispatch.release(dataclasses.replace(bench.cluster, site=None))
        again = bench.dispatch.provision(dataclasses.replace(bench.cluster, site=None))
        assert again.site is not None, "after release, provision must be able to bring it up again"

    def test_a_healthy_cluster_has_no_errors(self, bench: Bench) -> None:
        """``check`` finds no error on a cluster on which jobs run; what it finds says what to do."""
        problems = bench.dispatch.check(bench.cluster)
        assert [problem for problem in problems if problem.severity == "error"] == []
        for problem in problems:
            assert problem.severity == "warning" and problem.message.strip(), f"{problem}: an error or a warning"
