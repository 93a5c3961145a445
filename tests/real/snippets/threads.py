"""Threads and processes of concurrent.futures inside a call."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from math import factorial

from clustrix import cluster


def digits(n):
    return len(str(factorial(n)))


@cluster(cores=2, memory="200MB")
def lengths(numbers):
    with ThreadPoolExecutor(4) as pool:
        waiting = {pool.submit(digits, n): n for n in numbers}
        found = {waiting[one]: one.result() for one in as_completed(waiting)}
    with ProcessPoolExecutor(2) as pool:
        again = list(pool.map(digits, numbers))
    return [found[n] for n in numbers] == again, again


if __name__ == "__main__":
    print(lengths([10, 100, 500, 1000]))
