"""The prompt archive on a real database, its model over loopback."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from evolve.config import RunConfig, assignment, update
from evolve.errors import UsageError
from evolve.loop.engine import told
from evolve.loop.learning import Learning
from evolve.loop.prompt_archive import LIMIT, PromptArchive, paragraph
from evolve.propose.base import Failure, Parent, ProposalRequest
from evolve.propose.prompts import shipped_advice, user_prompt
from evolve.store import learning
from evolve.strategies.base import Ask

GOOD = "Look at the worst item first and ask what rule would have got it right."


def written(evaluations=40):
    async def act(archive):
        await archive.write(evaluations)
        return archive

    return act


async def same(archive):
    return archive


def retold(bench):
    """A function that makes an archive as a resumed run does."""

    def make(parts):
        archive = PromptArchive(parts)
        for attempt in bench.database.attempts():
            archive.tell(told(attempt))
        return archive

    return make


def texts(bench):
    return [(one.id, one.text, one.retired) for one in learning.prompts(bench.database.connection)]


def drawn(archive, count=60):
    rng = np.random.default_rng(0)
    return Counter(archive.number(archive.draw(rng)) for _ in range(count))


def test_the_shipped_advice_is_the_first_variant_and_stays_one_row(bench):
    bench.play(PromptArchive, same)
    bench.reopen()
    archive, requests = bench.play(PromptArchive, same)
    assert texts(bench) == [(1, shipped_advice(), False)]
    assert archive.number(archive.draw(np.random.default_rng(0))) == 1
    assert requests == []


def test_a_new_variant_is_written_from_the_best_with_their_gains(bench):
    bench.play(PromptArchive, same)
    first = bench.edit(0.5, seed="s")
    bench.edit(0.75, first, prompt_id=1)
    bench.edit(0.4, first, prompt_id=1)
    archive, requests = bench.play(retold(bench), written(), f'"{GOOD}"')
    asked = requests[0]["body"]["messages"][-1]["content"]
    assert shipped_advice() in asked
    assert "over 2 edits" in asked
    # the first gain has decayed once: 0.95 * 0.25 / 1.95
    assert f"Mean gain of an edit {0.95 * 0.25 / 1.95!r}" in asked
    assert texts(bench)[1] == (2, GOOD, False)
    assert archive.number(GOOD) == 2
    assert archive.draw(np.random.default_rng(0)) == GOOD


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "is empty"),
        ("<think>hm</think>\n", "is empty"),
        ("a" * (LIMIT + 1), f"has {LIMIT + 1} characters, more than {LIMIT}"),
        ("Do this:\n```python\nx = 1\n```", "holds a fence or a mark of an edit"),
        ("Use <<<<<<< SEARCH blocks.", "holds a fence or a mark of an edit"),
        (None, "repeats a known variant"),
    ],
)
def test_a_text_that_cannot_be_used_is_left_out_and_said(bench, reply, reason):
    bench.play(PromptArchive, written(), shipped_advice().upper() if reply is None else reply)
    assert len(texts(bench)) == 1
    assert bench.messages == [f"no new prompt variant: the reply {reason}"]


def test_a_failed_call_is_tried_again_at_the_next_due_time(bench):
    async def act(archive):
        await archive.write(40)
        return archive.due(79), archive.due(80)

    assert bench.play(PromptArchive, act, bench.reply(status=500))[0] == (False, True)
    assert bench.messages[0].startswith("no new prompt from writer")


def test_the_worst_tried_variant_makes_room_for_a_new_one(bench):
    bench.settings = {"prompt_variants": 2}
    bench.play(PromptArchive, written(), GOOD)
    first = bench.edit(0.5, seed="s")
    archive, _ = bench.play(retold(bench), same)
    assert not archive.due(1000)  # no variant has been tried often enough
    for _ in range(5):
        bench.edit(0.6, first, prompt_id=2)
        bench.edit(0.4, first, prompt_id=1)
    bench.database.connection.execute("UPDATE prompts SET created = '2000'")
    bench.database.connection.commit()
    archive, _ = bench.play(retold(bench), same)
    assert (archive.due(39), archive.due(40)) == (False, True)
    archive, _ = bench.play(retold(bench), written(), "Be brief.")
    assert texts(bench) == [(1, shipped_advice(), True), (2, GOOD, False), (3, "Be brief.", False)]
    assert 1 not in drawn(archive)
    row = bench.database.connection.execute("SELECT parent_id FROM prompts WHERE id = 3").fetchone()
    assert row[0] == 2


def test_the_variant_that_gains_is_drawn_more_also_after_a_resume(bench):
    bench.play(PromptArchive, written(), GOOD)
    first = bench.edit(0.5, seed="s")
    for _ in range(12):
        bench.edit(0.6, first, prompt_id=2)
        bench.edit(None, first, prompt_id=1, error="shape")
    bench.reopen()
    archive, _ = bench.play(retold(bench), same)
    found = drawn(archive)
    assert found[2] > 40
    assert drawn(bench.play(retold(bench), same)[0]) == found


def test_due_times_follow_from_the_database(bench):
    bench.play(PromptArchive, same)
    bench.edit(0.5, seed="s")
    bench.database.connection.execute("UPDATE prompts SET created = '9999'")
    bench.database.connection.commit()
    archive, _ = bench.play(PromptArchive, same)
    assert (archive.due(40), archive.due(41)) == (False, True)


def request(**changes):
    return ProposalRequest(Parent("1", "x = 1\n", 0.5), 1, kind="program", **changes)


def informed(bench, ask_of):
    async def act(made):
        ensemble, learned = made
        ask = ask_of(ensemble)
        rng = np.random.default_rng(5)
        found = learned.informed(ask, rng)
        return ask, found, learned.prompt_id(found), rng.random() == np.random.default_rng(5).random()

    return bench.play(lambda parts: (parts.ensemble, Learning(parts)), act)[0]


def test_a_request_of_a_language_model_carries_variant_and_recommendations(bench):
    bench.database.add_scratchpad(5, "- lesson", "2000")
    bench.database.add_prompt(GOOD)
    _, found, number, _ = informed(bench, lambda arms: Ask("w", request=request(), proposer=arms["writer"]))
    assert (found.request.advice, found.request.recommendations, number) == (GOOD, "- lesson", 1)
    for patch in ("diff", "full"):
        assert GOOD in user_prompt(found.request, patch)
        assert shipped_advice() not in user_prompt(found.request, patch)
        assert shipped_advice() in user_prompt(request(), patch)


def test_a_repair_and_a_thought_have_no_variant(bench):
    broken = ProposalRequest(Parent("1", "x\n", error=Failure("shape", "wrong")), 1, kind="program")
    for asked in (broken, request(patch="fix"), request(patch="thought")):
        _, found, number, untouched = informed(
            bench, lambda arms, asked=asked: Ask("w", request=asked, proposer=arms["writer"])
        )
        assert (found.request.advice, number, untouched) == ("", None, True)


def test_other_proposers_keep_their_request_and_their_random_numbers(bench):
    bench.database.add_scratchpad(5, "- lesson", "2000")
    ask, found, number, untouched = informed(bench, lambda arms: Ask("o", request=request(), proposer=arms["offline"]))
    assert found is ask
    assert (number, untouched) == (None, True)


def test_the_archive_can_be_switched_off(bench):
    bench.settings = {"prompt_archive": False, "scratchpad_every": 0}
    _, found, number, untouched = informed(bench, lambda arms: Ask("w", request=request(), proposer=arms["writer"]))
    assert (found.request, number, untouched) == (request(), None, True)
    assert texts(bench) == []


def test_a_reply_becomes_one_paragraph():
    assert paragraph(' "Be\n\nbold\x07 now." ') == "Be bold now."


@pytest.mark.parametrize(
    ("setting", "least"), [("scratchpad_every=-1", 0), ("prompt_every=0", 1), ("prompt_variants=1", 2)]
)
def test_a_number_out_of_range_is_told(setting, least):
    name, value = setting.split("=")
    with pytest.raises(UsageError, match=rf"^proposals\.{name} must be at least {least}, not {value}$"):
        update(RunConfig(), assignment(f"proposals.{setting}"), "settings")
