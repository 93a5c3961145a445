"""Views of arrays: strided, transposed, read-only, structured, of bytes."""

import numpy as np

from clustrix import cluster

table = np.arange(40_000, dtype=np.float64).reshape(200, 200)


@cluster(memory="400MB")
def sums(corner, column, turned, people, raw):
    corner[:] = corner * 1.0  # what arrives can be written to
    oldest = people[people["age"].argmax()]
    return corner.sum(), column.sum(), turned[3, :5].tolist(), str(oldest["name"]), bytes(raw[2:5]), len(raw)


if __name__ == "__main__":
    people = np.array([("Ada", 36), ("Emmy", 53)], dtype=[("name", "U10"), ("age", "i4")])
    print(*sums(table[:10, :10], table[:, 7], table.T, people, memoryview(b"0123456789")))
    print(table[0, 0], table[5, 5])
