"""A function that calls itself, under @cluster too: inside of a job it is the plain function."""

from clustrix import cluster


def depth(tree):
    return 1 + max(map(depth, tree), default=0)


@cluster
def moves(n, source="A", target="C", spare="B"):
    if n == 0:
        return []
    return [*moves(n - 1, source, spare, target), source + target, *moves(n - 1, spare, target, source)]


@cluster
def deepest(levels):
    tree = []
    for _ in range(levels):
        tree = [tree, []]
    return depth(tree)


if __name__ == "__main__":
    print(len(moves(9)), moves(3), deepest(400))
