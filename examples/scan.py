"""A parameter scan: how large an epidemic grows, for 10 reproduction numbers × 5 vaccinated shares. Writes scan.csv.

python examples/scan.py          on the default cluster of clustrix.yml; without one, on this machine
python examples/scan.py hpc      on the cluster "hpc"
"""

import csv
import itertools
import sys

from clustrix import cluster

REPRODUCTION = [1 + 0.5 * step for step in range(1, 11)]
VACCINATED = [0.0, 0.2, 0.4, 0.6, 0.8]


@cluster(*sys.argv[1:2], cores=1, memory="200MB", time="00:10:00")
def epidemic(reproduction, vaccinated, days_ill=5.0, days=2000, step=0.05):
    """Integrate the SIR model; return the share that was ever infected and the day of the peak."""

    def change(susceptible, infected):
        new = reproduction / days_ill * susceptible * infected
        return -new, new - infected / days_ill

    susceptible, infected, peak, peak_day = 1 - vaccinated - 1e-6, 1e-6, 0.0, 0.0
    for number in range(int(days / step)):
        # Heun's method: the mean of the slopes at both ends of the step.
        s1, i1 = change(susceptible, infected)
        s2, i2 = change(susceptible + step * s1, infected + step * i1)
        susceptible, infected = susceptible + step * (s1 + s2) / 2, infected + step * (i1 + i2) / 2
        if infected > peak:
            peak, peak_day = infected, number * step
    return 1 - vaccinated - susceptible, peak_day


if __name__ == "__main__":
    grid = list(itertools.product(REPRODUCTION, VACCINATED))
    runs = epidemic.map(*zip(*grid, strict=True))
    with open("scan.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["reproduction", "vaccinated", "ever_infected", "peak_day"])
        for (reproduction, vaccinated), (infected, day) in zip(grid, runs, strict=True):
            rows.writerow([reproduction, vaccinated, f"{infected:.4f}", f"{day:.0f}"])
    print(f"Wrote scan.csv: {len(grid)} epidemics.")
