"""Use all cores of a job by multiprocessing, with a function of this script in the pool."""

from multiprocessing import Pool

from clustrix import cluster


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@cluster(cores=2, memory="200MB")
def longest(limit):
    with Pool(2) as pool:
        steps = pool.map(collatz, range(1, limit), chunksize=500)
    return max(zip(steps, range(1, limit), strict=True))


if __name__ == "__main__":
    print(longest(5000))
