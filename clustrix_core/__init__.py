"""The engine behind ``clustrix``. What plugins may import: hookspecs, batch, model, transport, errors."""

__version__ = "1.0.0.dev0"
