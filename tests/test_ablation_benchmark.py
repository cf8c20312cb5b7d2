"""The ablation switches settings that exist, its scripted model uses what real prompts tell, its table pairs runs."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evolve import config
from evolve.problem import load
from evolve.propose.base import Lesson, Parent, ProposalRequest
from evolve.propose.patch import apply_reply
from evolve.propose.prompts import retry_prompt, scratchpad_prompt, system_prompt, user_prompt, variant_prompt
from evolve.search.samplers import BUILT_IN

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
try:
    import ablation
    import ablation_model as model
    import ablation_problem
    import ablation_report
    import search_runs as runs
finally:
    sys.path.pop(0)

ZEROS = dict.fromkeys(ablation_problem.KINDS, 0)
PARENT = Parent(id="7", source=ablation_problem.program(ZEROS), score=0.2)
REQUEST = ProposalRequest(seed=0, task="t", kind="program", parent=PARENT)


def messages(request, patch="diff"):
    prompts = (("system", system_prompt(request)), ("user", user_prompt(request, patch)))
    return [{"role": role, "content": text} for role, text in prompts]


def told(request, patch="diff"):
    return model.told("\n\n".join(message["content"] for message in messages(request, patch)))


@pytest.mark.parametrize("part", ablation.PARTS)
def test_every_variant_but_the_default_changes_the_settings_of_a_run(part):
    _, variants, _ = ablation.PARTS[part]
    made = {}
    for name, settings in variants.items():
        made[name] = config.RunConfig()
        for setting in settings:
            made[name] = config.update(made[name], config.assignment(setting), "--set")
    assert made["default"] == config.RunConfig()
    assert len({repr(one) for one in made.values()}) == len(variants)


def test_every_other_parent_sampler_is_a_variant():
    chosen = {one.partition("=")[2] for made in ablation.OFFLINE.values() for one in made if "parent_sampler" in one}
    assert chosen == BUILT_IN.keys() - {config.SearchConfig().parent_sampler}


def test_each_kind_of_information_is_read_from_a_real_prompt():
    bare = told(REQUEST)
    assert bare.answers == ZEROS
    assert (bare.helped, bare.hurt, bare.failed, bare.count) == ((), frozenset(), (), 1)
    items = ("It fails 1 of 2 items, for example:", '- item 0: {"kind": "k03"}', "Better, for example:",
             '- item 1: {"kind": "k04"}')  # fmt: skip
    assert told(replace(REQUEST, item_feedback=items)).failed == ("k03",)
    insights = ("#7 -> #8 set k01 to 3: +0.02 (won 2, lost 0 of 9 items), p = 0.5", "#7 -> #9 set k02 to 1: -0.1")
    found = told(replace(REQUEST, insights=insights))
    assert found.helped == (("k01", 3),)
    assert found.hurt == {("k02", 1)}
    assert told(replace(REQUEST, recommendations="- set k05 to 2")).helped == (("k05", 2),)
    assert told(replace(REQUEST, advice="Change 3 answers at once.")).count == 3
    lesson = Lesson(PARENT, '-    "k06": 0,\n+    "k06": 4,', "+0.1")
    assert told(replace(REQUEST, lesson=lesson), "thought").helped == (("k06", 4),)


@pytest.mark.parametrize("patch", ["diff", "full", "thought", "cross"])
def test_replies_apply_to_the_program_shown(patch):
    other = replace(PARENT, id="8", source=ablation_problem.program({**ZEROS, "k00": 5}))
    request = replace(REQUEST, mate=other, lesson=Lesson(other, '+    "k00": 5,', "+0.1"))
    rng = random.Random(1)
    again = [{"role": "assistant", "content": ""}, {"role": "user", "content": retry_prompt("no change", patch)}]
    replies = [model.reply([*messages(request, patch), *again], rng) for _ in range(5)]
    made = [model.answers_of(apply_reply(PARENT.source, text, patch)) for text in replies if "leave it" not in text]
    assert made
    assert all(answers.keys() == ZEROS.keys() and answers != ZEROS for answers in made)


def test_a_repair_brings_every_answer_into_range():
    broken = replace(PARENT, source=ablation_problem.program({**ZEROS, "k09": 9}), score=None)
    text = model.reply(messages(replace(REQUEST, parent=broken), "fix"), random.Random(0))
    assert max(model.answers_of(apply_reply(broken.source, text, "fix")).values()) < ablation_problem.VALUES


def test_the_model_distils_gains_into_recommendations_and_writes_advice_that_it_obeys():
    facts = {"task": "t", "worst": [], "troubles": [], "previous": "- set k11 to 1", "limit": 12}
    prompt = scratchpad_prompt(best=["#1 -> #2 (diff) set k10 to 4: +0.02, to 0.3"], **facts)
    assert model.reply([{"role": "user", "content": prompt}], random.Random(0)) == "- set k10 to 4\n- set k11 to 1"
    asked = [{"role": "user", "content": variant_prompt(best=[("x", 0.1, 3)], task="t", limit=600)}]
    advice = model.reply(asked, random.Random(0))
    assert told(replace(REQUEST, advice=advice)).count > 1


def test_the_written_problem_loads_and_differs_between_zoos(tmp_path):
    first, second = (load(str(ablation_problem.write(tmp_path, zoo))) for zoo in (0, 1))
    assert set(first.profile.splits) == set(ablation_problem.ITEMS)
    assert first.profile.settings != second.profile.settings
    assert (first.folder / "test.jsonl").read_text() != (second.folder / "test.jsonl").read_text()


def test_a_run_with_the_model_ends_with_a_sealed_test_score(tmp_path, monkeypatch):
    monkeypatch.setitem(ablation.PARTS, "scripted", ("answers", ablation.SCRIPTED, 12))
    case = runs.Case("told nothing", "answers", 0, 0)
    result = ablation.make("scripted", case, tmp_path)
    assert result.case == case
    assert result.budget == 12
    assert len(result.outcomes) == ablation_problem.ITEMS["test"]
    assert result.outcomes.count("1") == round(result.test * ablation_problem.ITEMS["test"])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["operator groups by thompson", "racing", "surrogate"])
def test_a_run_of_the_offline_part_ends_with_a_sealed_test_score(variant, tmp_path, monkeypatch):
    monkeypatch.setitem(ablation.PARTS, "offline", ("skills", ablation.OFFLINE, 8))
    result = ablation.make("offline", runs.Case(variant, "skills", 0, 0), tmp_path)
    assert result.budget == 8
    assert 0 < result.test < 1


def test_every_split_of_the_written_problem_holds_every_kind(tmp_path):
    folder = ablation_problem.write(tmp_path, 0)
    for split, count in ablation_problem.ITEMS.items():
        lines = (folder / f"{split}.jsonl").read_text().splitlines()
        assert len(lines) == count
        assert {json.loads(line)["kind"] for line in lines} == set(ablation_problem.KINDS)


def test_the_table_pairs_runs_of_equal_zoo_and_seed():
    def run(variant, seed, test, budget=100):
        return runs.Result(variant, "answers", 0, seed, budget, 0.5, 0.5, test, "1", (0.5,), 10, 1.0, "c", "d")

    results = [run("default", 0, 0.6), run("default", 1, 0.8), run("default", 2, 0.9), run("off", 0, 0.5),
               run("off", 1, 0.7), run("off", 0, 0.0, budget=50), run("once", 2, 0.8)]  # fmt: skip
    rows = ablation_report.table(results, ["default", "off", "once", "never"], 100).splitlines()
    assert len(rows) == 5
    assert "| 0.600 | +0.100 [+0.100, +0.100] | 2 |" in rows[3]
    assert "(one pair, no interval) | 1 |" in rows[4]
