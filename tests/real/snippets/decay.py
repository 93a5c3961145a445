"""Fit a decay to measured points: scipy.optimize, with a function of this script handed over to it."""

import numpy as np
from scipy.optimize import curve_fit

from clustrix import cluster


def decay(t, amount, rate, rest):
    return amount * np.exp(-rate * t) + rest


@cluster(memory="500MB")
def fit(t, measured):
    found, _ = curve_fit(decay, t, measured, p0=(1, 1, 0))
    return found.round(3).tolist()


if __name__ == "__main__":
    t = np.linspace(0, 5, 200)
    noise = np.random.default_rng(0).normal(0, 0.01, t.size)
    print(fit(t, decay(t, 2.5, 1.3, 0.5) + noise))
