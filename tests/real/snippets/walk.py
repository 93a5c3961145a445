"""Random numbers: seeded inside, and generators that arrive in the state that they have."""

import random

import numpy as np

from clustrix import cluster


@cluster(memory="300MB")
def walked(seed, own, array):
    random.seed(seed)
    np.random.seed(seed)
    place = sum(random.choice((-1, 1)) for _ in range(1000))
    return place, np.random.normal(size=2).round(6).tolist(), own.random(), array.integers(1000, size=3).tolist()


if __name__ == "__main__":
    own, array = random.Random(7), np.random.default_rng(7)
    own.random()
    print(walked(11, own, array))
