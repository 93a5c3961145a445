"""The configuration as a job sees it: values by name, unchecked."""

from clustrix_core.worker import inside


class ClusterConfig(inside.Held):
    """One cluster's configuration."""

    def __repr__(self) -> str:  # there may be passwords among the rest
        shown = ["%s=%r" % item for item in sorted(self.__dict__.items()) if item[0] in ("name", "backend", "host")]
        return "ClusterConfig(%s)" % ", ".join(shown)
