"""One measured round of Clustrix in a process of its own, a cold client. Prints JSON: seconds, extra bytes of memory.

ours.py SETTINGS_JSON {call | map CALLS SECONDS | array MEGABYTES | upload MEGABYTES}
"""

import json
import resource
import sys
import time

# Times are from call to result; what a script imports at its head is not counted.
import clustrix_core.engine
import clustrix_core.transport.connect
import clustrix_core.transport.login
from clustrix import ClusterConfig, cluster


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    settings, what, words = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if settings.get("host"):
        import paramiko  # noqa: F401
    there = ClusterConfig(**settings)
    before = peak()
    if what == "call":
        begun = time.perf_counter()
        assert cluster(there)(lambda x: 2 * x)(21) == 42
    elif what == "map":
        calls, seconds = int(words[0]), float(words[1])
        begun = time.perf_counter()
        results = cluster(there)(lambda x, pause: time.sleep(pause) or x).map(range(calls), pause=seconds)
        assert list(results) == list(range(calls))
    elif what == "array":
        import numpy

        data = numpy.random.default_rng().random(int(words[0]) * 2**20 // 8)  # no cluster has it
        before = peak()
        begun = time.perf_counter()
        assert cluster(there, memory="2GB")(len)(data) == len(data)
    else:
        login = clustrix_core.transport.login.Login(there.host, ssh_config=there.ssh_config)
        transport = clustrix_core.transport.connect.connect("paramiko", login)
        data = bytes(2**20)
        begun = time.perf_counter()
        assert transport.run("cat >upload.bin", (data for _ in range(int(words[0])))).returncode == 0
    print(json.dumps({"seconds": time.perf_counter() - begun, "extra": peak() - before}))


main()
