"""Generators that are made and consumed inside a call; what comes back is a list."""

from itertools import count, islice, takewhile

from clustrix import cluster


def primes():
    found = []
    for n in count(2):
        if all(n % p for p in takewhile(lambda p, n=n: p * p <= n, found)):
            found.append(n)
            yield n


def pairs(numbers):
    before = next(numbers)
    for number in numbers:
        yield before, number
        before = number


@cluster
def twins(many):
    return list(islice(((a, b) for a, b in pairs(primes()) if b - a == 2), many))


if __name__ == "__main__":
    print(twins(8))
