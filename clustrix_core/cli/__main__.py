"""``python -m clustrix_core.cli``, where the command itself is not on PATH."""

import sys

from clustrix_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
