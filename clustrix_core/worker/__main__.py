"""``python3 <bundle> COMMAND ...``: what the job scripts and the backends start."""

import os
import sys

# The bundle is ours, and compiling it anew for each job would double what a small job costs.
sys.dont_write_bytecode = False

from clustrix_core.worker.commands import main  # noqa: E402

if __name__ == "__main__":
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # Nothing is left to do, and taking the interpreter apart takes time.
    os._exit(code)
