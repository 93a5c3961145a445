"""The terminal is one: what moves on it stands aside for questions."""

from __future__ import annotations

import os
import threading

from clustrix_core.transport.terminal import asking, showing


class Line:
    """Something that moves."""

    def __init__(self) -> None:
        self._moving = False

    def start(self) -> None:
        self._moving = True

    def stop(self) -> None:
        self._moving = False

    def moves(self) -> bool:
        return self._moving


def test_a_display_stands_aside_for_a_question_and_comes_back() -> None:
    line = Line()
    with showing(line):
        assert line.moves()
        with asking():
            assert not line.moves()
        assert line.moves()
    assert not line.moves()
    with asking():
        pass
    assert not line.moves()


def test_a_display_that_comes_while_something_is_asked_waits() -> None:
    line, asked, shown = Line(), threading.Event(), threading.Event()

    def ask() -> None:
        with asking():
            asked.set()
            shown.wait(5)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(5)
    with showing(line):
        assert not line.moves()
        shown.set()
        thread.join()
        assert line.moves()


def test_who_leaves_while_something_is_asked_need_not_wait_for_the_answer() -> None:
    line = Line()
    with asking(), showing(line):
        pass
    assert not line.moves()


def test_questions_come_one_by_one() -> None:
    order: list[str] = []

    def second() -> None:
        with asking():
            order.append("second")

    with asking():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_child_that_is_forked_amid_a_question_can_ask_as_well() -> None:
    with asking():
        child = os.fork()
        if not child:
            with asking():
                os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
