"""The globals of pickles: the names of what they refer to. A stream is read opcode by opcode, nothing is loaded."""

from __future__ import annotations

import array
import pickle
import pickletools

# What pickletools says of the opcodes: how long those of a fixed length are, and in how many bytes others say it.
_ARGUMENTS = {ord(one.code): one.arg.n if one.arg else 0 for one in pickletools.opcodes}
_FIXED = {code: 1 + size for code, size in _ARGUMENTS.items() if size >= 0}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_COUNTED = {code: _LENGTHS[size] for code, size in _ARGUMENTS.items() if size in _LENGTHS}
_CODES = {one.name: ord(one.code) for one in pickletools.opcodes}
_MEMOIZE, _STACK_GLOBAL = _CODES["MEMOIZE"], _CODES["STACK_GLOBAL"]
_GETS = (_CODES["BINGET"], _CODES["LONG_BINGET"])
_TEXTS = (_CODES["SHORT_BINUNICODE"], _CODES["BINUNICODE"], _CODES["BINUNICODE8"])
_EXTENSIONS = (_CODES["EXT1"], _CODES["EXT2"], _CODES["EXT4"])
_SPECIAL = _GETS + _EXTENSIONS + (_MEMOIZE, _STACK_GLOBAL, _CODES["PROTO"], _CODES["FRAME"])
# Nearly all of a pickle: only that something was pushed matters. A table, for speed.
_PLAIN = [_FIXED.get(code, 0) if code not in _SPECIAL else 0 for code in range(256)]
_NO_TEXT = -1


def globals_in(stream: bytes) -> set[tuple[str, str]]:
    """Return the (module, name) of everything that a pickle of protocol 4 or 5 refers to by name. Nothing is loaded."""
    found: set[tuple[str, str]] = set()
    memo = array.array("q")  # where the text begins that was memorized, if it was one
    before = last = _NO_TEXT  # the same of what was pushed
    at, end = 0, len(stream)
    while at < end:
        code = stream[at]
        size = _PLAIN[code]
        if size:
            before, last = last, _NO_TEXT
        elif code == _MEMOIZE:
            memo.append(last)
            size = 1
        elif code in _COUNTED:
            before, last = last, at if code in _TEXTS else _NO_TEXT
            size = 1 + _COUNTED[code] + _number(stream, at, _COUNTED[code])
        elif code in _GETS:
            before, last = last, memo[_number(stream, at, _FIXED[code] - 1)]
            size = _FIXED[code]
        elif code == _STACK_GLOBAL:
            found.add((_text(stream, before), _text(stream, last)))
            before, last = last, _NO_TEXT
            size = 1
        elif code in _EXTENSIONS:
            raise pickle.PicklingError("something goes by its extension code (copyreg), which is that of one process")
        elif code in _SPECIAL:
            size = _FIXED[code]
        else:
            raise pickle.PicklingError("an old protocol of pickle")
        at += size
    return found


def _number(stream: bytes, at: int, size: int) -> int:
    return int.from_bytes(stream[at + 1 : at + 1 + size], "little")


def _text(stream: bytes, at: int) -> str:
    if at == _NO_TEXT:
        raise pickle.PicklingError("a name in a pickle is not written plainly")
    size = _COUNTED[stream[at]]
    begin = at + 1 + size
    return stream[begin : begin + _number(stream, at, size)].decode("utf-8", "surrogatepass")


__all__ = ["globals_in"]
