"""A bootstrap confidence interval of a mean: Michelson's first 20 measurements of the speed of light, 1879.

python examples/bootstrap.py          on the default cluster of clustrix.yml; without one, on this machine
python examples/bootstrap.py hpc      on the cluster "hpc"
"""

import random
import statistics
import sys

from clustrix import cluster

# In km/s above 299,000.
SPEEDS = [850, 740, 900, 1070, 930, 850, 950, 980, 980, 880, 1000, 980, 930, 650, 760, 810, 1000, 1000, 960, 960]
CALLS, RESAMPLES = 20, 1000


@cluster(*sys.argv[1:2], cores=1, memory="200MB", time="00:05:00")
def means(seed, resamples=RESAMPLES):
    """Return the means of so many samples drawn from the measurements, with replacement."""
    dice = random.Random(seed)  # a seed for each call: the result is the same wherever it runs
    return [statistics.fmean(dice.choices(SPEEDS, k=len(SPEEDS))) for _ in range(resamples)]


if __name__ == "__main__":
    drawn = sorted(mean for part in means.map(range(CALLS)) for mean in part)
    low, high = drawn[len(drawn) * 25 // 1000], drawn[len(drawn) * 975 // 1000]
    print(f"The mean is {statistics.fmean(SPEEDS):.0f} km/s above 299,000; 95 % of {len(drawn)} resampled means")
    print(f"lie between {low:.1f} and {high:.1f}. Light takes 734.5 in air: the apparatus was off, not the statistics.")
