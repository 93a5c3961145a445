"""What one reading is good for."""

DIGITS = 1


def rounded(value):
    return round(value, DIGITS)
