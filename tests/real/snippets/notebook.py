"""Cells that are executed one after the other in one namespace, as a notebook does it."""

import linecache

CELLS = [
    """
from clustrix import cluster
rate = 0.5
""",
    """
def grown(x):
    return x * (1 + rate)
""",
    """
@cluster
def after(x, years):
    for _ in range(years):
        x = grown(x)
    return x
""",
    "print(after(100, 2))",
    "rate = 1",
    "print(after(100, 2))",
    """
def grown(x):
    return x - 1
""",
    "print(after(100, 2))",
]

if __name__ == "__main__":
    space = {"__name__": "__main__"}
    for number, cell in enumerate(CELLS):
        name = f"<cell {number}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), space)
