"""A script that can also fetch its data, but need not: requests is imported, and not used by this run."""

import requests

from clustrix import cluster


def load(source):
    if source.startswith("http"):
        return requests.get(source, timeout=10).json()
    return [float(word) for word in source.split()]


@cluster(memory="200MB")
def mean(source):
    values = load(source)
    return sum(values) / len(values)


if __name__ == "__main__":
    print(mean("1 2 3 4"))
