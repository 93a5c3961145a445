"""A package of the user's own."""

SCALE = 1
