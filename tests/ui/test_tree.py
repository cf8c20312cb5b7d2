from __future__ import annotations

import json
import re

from evolve.store.descent import Descent, Step
from evolve.store.gains import TUNING
from evolve.ui.tree import WIDTH, tree_data, tree_dot, tree_lines


def step(number, parent, score=0.5, gain=0.1, patch="diff", description="an edit", mate=None):
    return Step(
        number, parent, mate, 0, "scored" if score is not None else "failed", patch, "offline", description, score, gain
    )


def line(*steps, tree=(), best=(), descendants=0):
    return Descent(steps[-1].id, tuple(steps), descendants, tuple(best), tuple(tree))


def test_steps_that_changed_numbers_only_are_one_line():
    tunes = [step(number, number - 1, 0.5 + number / 8, 0.125, TUNING) for number in (2, 3, 4)]
    found = line(step(1, None, 0.5, None, "seed"), *tunes, step(5, 4, 0.75, -0.25, mate=2))
    lines = list(tree_lines(found, 1.0, 20))
    assert lines[:3] == [
        " #1  0.5  seed by offline: an edit",
        " #4  1 (+0.375)  3 steps from #2 on that changed numbers only",
        "*#5  0.75 (-0.25)  diff by offline with #2: an edit",
    ]
    assert lines[3:] == ["  no descendants"]


def test_a_long_line_shows_its_first_and_last_steps():
    steps = [step(1, None, 0.0, None), *(step(number, number - 1, 0.5, 0.01) for number in range(2, 101))]
    lines = list(tree_lines(line(*steps), 1.0, 3))
    assert [re.findall(r"#(\d+)", text)[:1] for text in lines] == [["1"], [], ["98"], ["99"], ["100"], []]
    assert lines[1] == " … 96 steps (+0.96)"


def test_a_minimised_score_changes_in_its_own_sign():
    found = line(step(1, None, -3.0, None), step(2, 1, -2.5, 0.5))
    assert list(tree_lines(found, -1.0, 9))[1].startswith("*#2  2.5 (-0.5)")
    assert tree_data(found, -1.0)["ancestors"][1]["gain"] == -0.5


def test_the_best_descendants_hang_below_their_parents():
    tree = [step(2, 1), step(3, 2), step(4, 2), step(5, 1), *(step(n, n - 1) for n in range(6, 12))]
    found = line(step(1, None), tree=tree, best=(3, 4, 11), descendants=40)
    lines = list(tree_lines(found, 1.0, 9))
    assert lines[1] == "  40 descendants; the best 3, marked *, and who lies between:"
    shape = [re.sub(r"  0\.5.*", "", text) for text in lines[2:]]
    assert shape == ["  ├─ #2", "  │  ├─*#3", "  │  └─*#4", "  └─ … 6 steps (+0.6)", "     *#11"]


def test_lines_of_descent_may_be_longer_than_calls_may_be_deep():
    tree = [step(number, number - 1) for number in range(2, 5000)]
    spread = [step(10_000 + number, number) for number in range(2, 4999)]
    found = line(step(1, None), tree=[*tree, *spread], best=[one.id for one in spread], descendants=10_000)
    assert len(list(tree_lines(found, 1.0, 9))) > 9000


def test_text_cannot_drive_the_terminal_and_lines_are_short():
    lines = list(tree_lines(line(step(1, None, description="a\x1b[2J\n" + 300 * "b")), 1.0, 9))
    assert "\x1b" not in "".join(lines)
    assert "\n" not in lines[0]
    assert max(map(len, lines)) <= WIDTH


def test_descendants_without_a_score_are_counted():
    assert list(tree_lines(line(step(1, None), descendants=3), 1.0, 9))[-1] == "  3 descendants, none with a score"


def test_the_graph_names_every_program_and_edit():
    text = 'a "quoted" \\ name\nbreak'
    found = line(step(1, None), step(2, 1, None, None, TUNING, text), tree=[step(3, 2)], best=(3,), descendants=1)
    lines = list(tree_dot(found, 1.0))
    assert (lines[0], lines[-1]) == ("digraph lineage {", "}")
    assert '  3 [label="#3\\n0.5", style=bold];' in lines
    assert '  2 -> 3 [label="diff by offline (+0.1)\\nan edit"];' in lines
    assert '  1 -> 2 [label="tune by offline\\na \\"quoted\\" \\\\ name break", style=dashed];' in lines
    assert sum("->" in one for one in lines) == 2


def test_data_marks_steps_of_numbers_only():
    found = line(step(1, None), tree=[step(2, 1, patch=TUNING)], best=(2,), descendants=1)
    data = json.loads(json.dumps(tree_data(found, 1.0)))
    assert [one["knobs_only"] for one in (*data["ancestors"], *data["tree"])] == [False, True]
