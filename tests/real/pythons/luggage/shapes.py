"""Classes with a base of their own."""

import abc


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self):
        """Return it."""


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2
