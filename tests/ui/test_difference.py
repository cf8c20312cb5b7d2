from __future__ import annotations

from evolve.ui.difference import Pair, difference_lines, flip_rows


def program(number, source, score, items, stopped=None):
    evaluation = {"split": "search", "score": score, "items": items, "items_total": 5, "stopped": stopped}
    return {"id": number, "source": source, "evaluations": [evaluation]}


def pair(**changes):
    rows = [program(1, "a = 1\n", 0.5, 5), program(2, "a = 2\n", 0.75, 4, "raced")]
    values = {"rows": rows, "split": "search", "items": [0, 2, 3, 4], "outcomes": ([1, 0, 0, 1], [0, 1, 1, 1])}
    return Pair(**{**values, **changes})


def test_items_keep_their_numbers_in_the_split():
    assert pair().flips == ((2, 3), (0,))
    assert [(row["item"], row["change"]) for row in flip_rows(pair())] == [(2, "won"), (3, "won"), (0, "lost")]


def test_the_text_says_what_was_compared():
    texts = [{"question": f"q{n}\x1b" + "x" * 200} for n in range(5)]
    lines = list(difference_lines(pair(texts=texts), -1.0))
    assert {"-a = 1", "+a = 2"} <= set(lines)
    assert "program 1: search -0.5" in lines
    assert "program 2: search -0.75 (ended early: 4 of 5 items)" in lines
    assert any(
        line.startswith("program 2 minus program 1 on the 4 items that both answered: +0.2500 [") for line in lines
    )
    assert lines[lines.index("negative flips (items lost): 1 [0]") + 1].startswith('  0: {"question": "q0')
    assert all(len(line) < 160 and "\x1b" not in line for line in lines)


def test_programs_without_common_items_are_only_shown():
    lines = list(difference_lines(pair(items=[], outcomes=([], [])), 1.0))
    assert lines[-1].startswith("program 2: search 0.75")
