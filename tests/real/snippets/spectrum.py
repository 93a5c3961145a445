"""Which tones are in a noisy signal? A fast Fourier transform with numpy."""

import numpy as np

from clustrix import cluster


@cluster(memory="400MB")
def tones(rate, seconds, seed):
    t = np.arange(0, seconds, 1 / rate)
    noise = np.random.default_rng(seed).normal(0, 0.4, t.size)
    signal = np.sin(2 * np.pi * 50 * t) + 0.5 * np.sin(2 * np.pi * 120 * t) + noise
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(t.size, 1 / rate)
    return sorted(frequencies[np.argsort(power)[-2:]].tolist())


if __name__ == "__main__":
    print(tones(1000, 2, seed=1))
