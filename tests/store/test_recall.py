"""What the search reads back at the start of a process."""

from __future__ import annotations

import time

from evolve.store import recall
from evolve.store.records import Cell, LlmCall


def test_texts_are_those_of_scored_programs_oldest_first(filled) -> None:
    assert [(row.id, row.island, row.source) for row in recall.texts(filled.connection, 2)] == [
        (3, 0, "x = 3"),
        (7, 1, "x = 7"),
    ]
    assert [row.id for row in recall.texts(filled.connection, 99)] == [1, 2, 3, 7]


def test_embeddings_of_scored_programs_by_model(filled) -> None:
    for number, model in ((7, "v"), (5, "v"), (2, "w")):
        filled.add_llm_calls(number, [LlmCall("o", model, "p", "AAAA", 0.1, purpose="embedding")])
    filled.add_llm_calls(3, [LlmCall("o", "v", "p", None, 0.1, error="late", purpose="embedding")])
    assert recall.embeddings(filled.connection, "v", 9) == [(7, 1, "AAAA")]


def test_plans_come_with_knobs_and_scores_in_the_order_of_evaluations(filled) -> None:
    found = list(recall.traced(filled.connection, 9))
    assert [(row.id, row.plan, row.score, row.predicted) for row in found] == [
        (1, {"plan": 1}, 0.1, None),
        (2, {"plan": 2}, 0.2, None),
    ]
    assert found[1].knobs == ({"name": "k", "value": 2},)
    assert [row.id for row in recall.traced(filled.connection, 1)] == [2]


def test_ablations_of_a_program(filled, ask, score) -> None:
    assert recall.last_ablated(filled.connection) is None
    for _ in range(2):
        ask(filled, 3, patch="ablation", proposer="ablation", description="without ja", note={"donor": "ja"})
    score(filled, 9, 0.4, (1.0, 0.0, 0.0))
    first, second = recall.ablations(filled.connection, 3)
    assert (first.id, first.state, first.score, first.outcomes) == (9, "scored", 0.4, (1.0, 0.0, 0.0))
    assert (second.state, second.score, second.outcomes, second.note) == ("proposed", None, (), {"donor": "ja"})
    assert recall.last_ablated(filled.connection) == 3


def test_stagnation_counts_from_the_best_elite_of_each_island(database, ask, score) -> None:
    def evaluated(value: float, island: int, **asked: str) -> None:
        number = ask(database, island=island, **asked)
        score(database, number, value, cell=f"{number}")
        time.sleep(0.003)

    for value in (0.1, 0.5, 0.2, 0.5):
        evaluated(value, 0)
    assert recall.fruitless(database.connection) == {0: 2}
    evaluated(0.4, 0, patch="ablation")
    evaluated(0.3, 1)  # its cell is written for island 0
    assert recall.fruitless(database.connection) == {0: 2}
    database.replace_island(0, [Cell(0, "9", 1, 0.1)])
    assert recall.fruitless(database.connection) == {0: 0}
