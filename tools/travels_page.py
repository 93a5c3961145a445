"""The page that says what travels with a call and what stays here: its table is that of the code."""

from __future__ import annotations

from clustrix_core.payload.staying import KINDS

PAGE = """\
# What travels with a call

A call sends its function and its arguments. The function takes along what it names: other functions and classes of
yours, the values of globals, closures and defaults, and your own modules ([what a function reaches](explain.md)).
Published packages are not sent; they are [installed](environments.md).

Arguments and results are pickled, by value: over there they are copies. What is changed there is not changed here,
except in what the function returns.

## What stays here
Some things belong to one process, or to one machine. A call that would need one of them is refused before anything is
submitted, wherever the thing sits: an argument, a global, a closure, a default, an attribute of an object, a part of a
list. The error says where it is and what to do instead.

```python
# tally.py
import threading

from clustrix import CannotTravel, cluster

LOCK = threading.Lock()
total = 0


def add(n):
    global total
    with LOCK:
        total += n
    return total


@cluster
def tally(numbers):
    return [add(n) for n in numbers]


try:
    tally([1, 2, 3])
except CannotTravel as error:
    print(error)
```
```console
$ python tally.py
the global 'LOCK' that add uses cannot travel: lock object <…>: this is a lock, and …
Make it inside the function; calls of different jobs can lock a file that all of them see.
```

| what | why it stays | what to do |
|---|---|---|
{rows}

Whatever else cannot be pickled is refused in the same way, with the words of `pickle`. A class of yours that says
itself how it is pickled (`__reduce__`, `__getstate__`) is believed, whatever it inherits from.

Handles of GPUs are known by the names of their classes in torch, cupy, numba and pycuda. Not tested against a GPU, nor
against these libraries.

## What is another one over there
- `os.environ` is the environment of the job, also in a function that has imported the name. Yours is not sent: there
  may be passwords in it. A copy of it, `dict(os.environ)`, is sent as any other dictionary.
- A logger is found by its name. Its handlers and levels are those of the job: `logging.basicConfig` goes inside the
  function.
- A module of yours that a function names as a whole is a copy with the variables that it had when it was sent. Of
  these, what cannot travel stays behind, and is an error only for who uses it.
- The function and its arguments are packed apart: a global that a method of an argument changes is not the one that the
  function sees.
- A `memoryview` arrives as `bytes`.
- `functools.lru_cache` begins with an empty cache. A job has a process of its own, and so does each slot of a map.
- The state of `random` and `numpy.random` is not sent: seed it inside the function, or send a generator
  (`random.Random(7)`, `numpy.random.default_rng(7)`), which arrives in the state that it has.
- A path is only a name, and `__file__` is where the module lies on your machine. Hand a file over as
  [`clustrix.File(path)`](data.md#files-and-folders), or what you have read from it.
"""


def what_travels() -> str:
    """Return the page."""
    return PAGE.format(rows="\n".join(f"| {kind.what} | {kind.why} | {kind.way_out} |" for kind in KINDS))
