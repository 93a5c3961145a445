"""Imports that only a type checker needs, generic classes, protocols and named tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypedDict, TypeVar

from clustrix import cluster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from a_package_of_stubs_that_nobody_has import Grid

T = TypeVar("T")


class Shape(Protocol):
    def area(self) -> float: ...


class Square(NamedTuple):
    side: float

    def area(self) -> float:
        return self.side**2


class Stack(Generic[T]):
    def __init__(self, *items: T) -> None:
        self.items: list[T] = [*items]


class Report(TypedDict):
    total: float
    count: int


@cluster
def measured(shapes: Stack[Shape], grid: Grid | None = None) -> Report:
    areas: Iterable[float] = [shape.area() for shape in shapes.items]
    return Report(total=sum(areas), count=len(shapes.items))


if __name__ == "__main__":
    print(measured(Stack(Square(2), Square(1.5))))
