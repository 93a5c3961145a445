"""``python3 <bundle> COMMAND ...``: what the job scripts and the backends start."""

import sys

from clustrix_core.worker.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
