"""The part of Clustrix that travels to the cluster: standard library only, Python 3.6 and later."""
