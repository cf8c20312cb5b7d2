from __future__ import annotations

import threading

from evolve.ui.printing import KEPT_LINES, Printer, stdout_printer


def test_lines_are_printed_in_their_order_and_all_of_them():
    printed = []
    printer = Printer(printed.append)
    for number in range(300):
        printer.put(str(number))
    printer.close()
    assert printed == [str(number) for number in range(300)]


def test_of_too_many_the_oldest_are_left_out_and_counted():
    printed, may_go_on, begun = [], threading.Event(), threading.Event()

    def write(text):
        begun.set()
        may_go_on.wait(10)
        printed.append(text)

    printer = Printer(write)
    printer.put("first")
    assert begun.wait(10)
    for number in range(KEPT_LINES + 7):
        printer.put(str(number))
    may_go_on.set()
    printer.close()
    assert printed[:3] == ["first", "(7 lines were left out: nobody read them)", "7"]
    assert printed[-1] == str(KEPT_LINES + 6)
    assert len(printed) == KEPT_LINES + 2


def test_a_reader_that_is_gone_fails_nobody():
    calls = []

    def write(text):
        calls.append(text)
        raise BrokenPipeError

    printer = Printer(write)
    for number in range(5):
        printer.put(str(number))
    printer.close()
    printer.put("later")
    assert calls == ["0"]


def test_standard_output_without_a_file_needs_no_thread(capsys):
    assert stdout_printer() is None
