"""A long run that may lose its node at any time: π by throwing darts, with a checkpoint after each throw of a million.

python examples/checkpoints.py          on the default cluster of clustrix.yml; without one, on this machine
python examples/checkpoints.py hpc      on the cluster "hpc"

Kill the run while it goes on, or its node: it begins again where it was.
"""

import random
import sys

from clustrix import checkpoint, cluster

MILLION = 1_000_000


@cluster(*sys.argv[1:2], time="00:10:00", warn="00:01:00", retries=5, retry_on=["NODE_FAIL", "PREEMPTED", "FAILED"])
def pi(millions, seed=0):
    """Return an estimate of π and the throws at which its runs began."""
    dice, hits, thrown, begun = checkpoint.load((random.Random(seed), 0, 0, []))
    begun = [*begun, thrown]
    print("begins at", thrown, "million", flush=True)
    while thrown < millions:
        hits += sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(MILLION))
        thrown += 1
        checkpoint.save((dice, hits, thrown, begun))
        if checkpoint.due():
            raise checkpoint.Again
    return 4 * hits / (thrown * MILLION), begun


if __name__ == "__main__":
    millions = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    estimate, begun = pi(millions)
    print(f"π is about {estimate:.4f}; begun at {', '.join(map(str, begun))} million throws.")
