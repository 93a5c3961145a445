"""Where the API server is: by a kubeconfig, or from within a pod."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes.config import incluster_config, kube_config

from clustrix_core.errors import ConfigError
from clustrix_k8s.api import Api, namespace_of
from clustrix_k8s.options import K8sOptions


def test_a_pod_knows_its_server_its_namespace_and_who_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / "namespace").write_text("lab\n")
    (tmp_path / "ca.crt").write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert namespace_of(K8sOptions()) == "lab"
    client = Api(K8sOptions())._client()
    assert client.configuration.host == "https://10.0.0.1:443"
    assert Api._authorization(client) == {"authorization": "bearer abc"}


@pytest.mark.parametrize("text", ["{", "[1]", "contexts: 7"])
def test_a_damaged_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    options = K8sOptions(kubeconfig=str(file))
    with pytest.raises(ConfigError, match="kubeconfig"):
        Api(options)._client()
    with pytest.raises(ConfigError, match="kubeconfig"):
        namespace_of(options)
