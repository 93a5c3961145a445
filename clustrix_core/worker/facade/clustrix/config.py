"""The configuration as a job sees it: values by name, unchecked."""

from clustrix_core.worker import inside


class ClusterConfig(inside.Held):
    """One cluster's configuration."""
