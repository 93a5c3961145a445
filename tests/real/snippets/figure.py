"""Draw a figure where there is no screen, and bring it back as the bytes of a PNG: matplotlib."""

import io
import struct

import matplotlib

from clustrix import cluster

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np


@cluster(memory="600MB")
def drawn(periods):
    x = np.linspace(0, periods * 2 * np.pi, 400)
    figure, axes = plt.subplots(figsize=(4, 3), dpi=50)
    axes.plot(x, np.sin(x), label="sin")
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


if __name__ == "__main__":
    png = drawn(3)
    print(png[:8], struct.unpack(">II", png[16:24]), len(png) > 2000)
