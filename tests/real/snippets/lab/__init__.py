"""A package of one's own."""

UNIT = "mm"
