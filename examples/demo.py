"""The Ising model: a magnet loses its order above 2.27 J/k. Fifteen temperatures, simulated side by side.

Run it on this machine with `make demo`; nothing has to be configured. The same code runs on the cluster "hpc" of your
clustrix.yml: `python examples/demo.py hpc`.
"""

import math
import random
import sys

from clustrix import cluster

LATTICE, SWEEPS = 32, 250


@cluster(*sys.argv[1:2], cores=1, memory="200MB", time="00:10:00")
def magnetisation(temperature, lattice=LATTICE, sweeps=SWEEPS):
    """Return the mean magnetisation per spin of a lattice × lattice magnet at a temperature (in units of J/k)."""
    dice = random.Random(temperature)
    spins = [[1] * lattice for _ in range(lattice)]
    chance = {energy: math.exp(-energy / temperature) for energy in (4, 8)}
    total = 0.0
    for sweep in range(sweeps):
        for row in range(lattice):
            above, here, below = spins[row - 1], spins[row], spins[(row + 1) % lattice]
            for column in range(lattice):
                around = above[column] + below[column] + here[column - 1] + here[(column + 1) % lattice]
                cost = 2 * here[column] * around
                if cost <= 0 or dice.random() < chance[cost]:
                    here[column] = -here[column]
        if sweep >= sweeps // 2:
            total += abs(sum(map(sum, spins))) / lattice**2
    return total / (sweeps - sweeps // 2)


if __name__ == "__main__":
    temperatures = [1.2 + 0.15 * step for step in range(15)]
    runs = magnetisation.map(temperatures)
    print(f"{len(runs)} simulations, job {runs.id}. Magnetisation per spin:\n")
    for temperature, order in zip(temperatures, runs, strict=True):
        print(f"  T = {temperature:.2f}  {order:.3f}  {'█' * round(40 * order)}", flush=True)
    print("\nThe order breaks down near T = 2.27, as Onsager found in 1944.")
