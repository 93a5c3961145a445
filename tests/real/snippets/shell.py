"""Programs that are run inside a call: their output, their exit code, their input, a pipe."""

import shlex
import subprocess

from clustrix import cluster


@cluster
def counted(text):
    done = subprocess.run(["sort"], input=text, capture_output=True, text=True, check=True)
    with subprocess.Popen(["tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as upper:
        said, _ = upper.communicate(done.stdout)
    failed = subprocess.run(f"exit {shlex.quote('3')}", shell=True).returncode
    return said.split(), failed


if __name__ == "__main__":
    print(counted("pear\napple\nfig\n"))
