"""Several of these scripts in one job, as modules of this one: all that they import is found."""

from pathlib import Path

import classify
import decay
import fetch
import numpy as np
import sales
import settings
import spectrum
import walk
from lab.tools import gauge

from clustrix import cluster

HERE = Path(__file__).parent


@cluster(memory="1500MB")
def survey(table):
    t = np.linspace(0, 5, 50)
    return {
        "classify": classify.fitted(5)[1],
        "decay": decay.fit(t, decay.decay(t, 2, 1, 0)),
        "fetch": fetch.mean("1 2 6"),
        "lab": gauge.summed([1.25, 3]),
        "sales": sales.by_region(table).to_csv(),
        "settings": settings.planned(settings.yaml.safe_load(settings.TEXT)),
        "spectrum": spectrum.tones(500, 1, seed=2),
        "walk": walk.walked(1, walk.random.Random(1), np.random.default_rng(1)),
    }


if __name__ == "__main__":
    for name, value in survey((HERE / "sales.csv").read_text()).items():
        print(name, value)
