"""Options as dataclasses with help metadata: one source for checking, flags, documentation and JSON schemas.

A field says more of itself in ``metadata``: ``help`` (a phrase), ``kind`` and ``choices``. The kinds:

``memory``, ``time``
    an ``int`` that is also written like ``"8GB"`` or ``"01:30:00"``
``path``
    text, or anything with ``__fspath__``
``lines``
    a tuple of lines: one string is one line, never split at commas
``secret``
    never shown, and no flag is made of it
"""

from clustrix_core.options.build import build, convert
from clustrix_core.options.origin import Origin
from clustrix_core.options.setting import Setting, is_secret, settings
from clustrix_core.options.shown import Flag, flags, schema, table

__all__ = ["Flag", "Origin", "Setting", "build", "convert", "flags", "is_secret", "schema", "settings", "table"]
