"""The flat names of the first Clustrix: what each is called today, and which have no effect."""

from __future__ import annotations

BACKENDS = {"kubernetes": "k8s"}

OLD = {
    "cluster_type": "backend",
    "cluster_host": "host",
    "cluster_port": "port",
    "ssh_port": "port",
    "username": "user",
    "remote_work_dir": "work_dir",
    "python_executable": "python",
    "conda_env_name": "environment",
    "max_parallel_jobs": "max_parallel",
    "cleanup_on_success": "cleanup",
    "cleanup_remote_files": "cleanup",
    "default_cores": "resources.cores",
    "default_memory": "resources.memory",
    "default_time": "resources.time",
    "default_partition": "resources.partition",
    "default_queue": "resources.partition",
    "module_loads": "resources.modules",
    "environment_variables": "resources.env",
    "pre_execution_commands": "resources.setup",
    "k8s_namespace": "options.namespace",
    "k8s_image": "options.image",
    "k8s_service_account": "options.service_account",
    "k8s_pull_policy": "options.image_pull_policy",
    "k8s_job_ttl_seconds": "options.ttl_seconds_after_finished",
    "k8s_backoff_limit": "resources.retries",
    "k8s_region": "options.region",
    "k8s_version": "options.version",
    "k8s_node_count": "options.node_count",
    "k8s_node_type": "options.instance_type",
    "k8s_cluster_name": "options.cluster_name",
    "cloud_region": "options.region",
    "aws_profile": "options.profile",
    "aws_region": "options.region",
    "aws_instance_type": "options.instance_type",
    "eks_cluster_name": "options.cluster_name",
    "azure_region": "options.region",
    "azure_subscription_id": "options.subscription_id",
    "azure_resource_group": "options.resource_group",
    "azure_instance_type": "options.instance_type",
    "aks_cluster_name": "options.cluster_name",
    "gcp_project_id": "options.project",
    "gcp_region": "options.region",
    "gcp_zone": "options.zone",
    "gcp_instance_type": "options.instance_type",
    "gke_cluster_name": "options.cluster_name",
}

_CREDENTIALS = "the provider's own tools keep credentials (aws configure, az login, gcloud auth)"
_ENVIRONMENT = "`environment` says what is installed on the cluster"
_AUTOMATIC = "it is decided by itself"
_GONE = "there is nothing of that kind any more"
_PROVIDER = "`backend` says it: eks, gke or aks"
_PASSWORD = "set CLUSTRIX_PASSWORD"

_WITHOUT_EFFECT = {
    _CREDENTIALS: """
        aws_access_key_id aws_secret_access_key aws_access_key aws_secret_key aws_session_token azure_tenant_id
        azure_client_id azure_client_secret gcp_service_account_key
    """,
    _ENVIRONMENT: """
        package_manager use_two_venv venv_setup_timeout replicate_local_environment excluded_packages cluster_packages
        auto_gpu_packages cuda_version_preference rapids_ecosystem venv_post_install_commands venv_info
    """,
    _AUTOMATIC: """
        auto_parallel auto_gpu_parallel max_gpu_parallel_jobs prefer_local_parallel local_parallel_threshold
        job_poll_interval ssh_connect_timeout async_submit gpu_detection_enabled gpu_memory_fraction
        prefer_gpu_execution cloud_auto_configure auto_provision_k8s k8s_from_scratch k8s_auto_cleanup k8s_remote
        cache_credentials credential_cache_ttl
    """,
    _GONE: """
        local_work_dir local_cache_dir cost_monitoring api_key lambda_instance_type lambda_api_key hf_hardware hf_token
        hf_username hf_sdk hf_namespace hf_flavor hf_image hf_job_timeout hf_allow_gpu_flavors
    """,
    _PROVIDER: "cloud_provider k8s_provider aws_cluster_type",
    _PASSWORD: "use_env_password password_env_var",
    "write `gpus`": "gpu_requirements",
}

# Each name that has no effect, with the reason.
DROPPED = {name: reason for reason, names in _WITHOUT_EFFECT.items() for name in names.split()}
