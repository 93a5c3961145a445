"""A progress bar that writes over its own line, on standard error, and lines on standard output."""

import sys

from clustrix import cluster


def bar(items, width=20):
    items = list(items)
    for number, item in enumerate(items, 1):
        yield item
        full = width * number // len(items)
        print(f"\r|{'█' * full:{width}}| {number}/{len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


@cluster
def summed(n):
    print("summing", file=sys.stderr)
    return sum(x * x for x in bar(range(n)))


if __name__ == "__main__":
    value = summed(300)
    sys.stdout.write(f"{value}\n")
