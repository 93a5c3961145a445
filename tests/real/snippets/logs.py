"""Logging, configured as every script does it, and a logger of the module that the function uses."""

import logging
import sys

from clustrix import cluster

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
log = logging.getLogger("stellar.cooling")
log.addHandler(logging.NullHandler())


@cluster
def cooled(kelvin, hours):
    for hour in range(hours):
        kelvin -= (kelvin - 290) * 0.1
        log.info("hour %d: %.1f K", hour, kelvin)
        logging.getLogger(__name__).debug("not shown")
    log.warning("still warm") if kelvin > 300 else None
    return round(kelvin, 2)


if __name__ == "__main__":
    log.info("starting")
    print(cooled(400, 5))
