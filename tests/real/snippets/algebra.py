"""An integral and the roots of a polynomial, symbolically: sympy."""

import sympy as sp

from clustrix import cluster

x, a = sp.symbols("x a", positive=True)


@cluster(memory="400MB")
def solved(expression):
    return sp.integrate(expression, (x, 0, sp.oo)), sp.factor(x**4 - 5 * x**2 + 4), sp.solve(x**2 - a, x)


if __name__ == "__main__":
    print(*solved(x**2 * sp.exp(-a * x)), sep="\n")
