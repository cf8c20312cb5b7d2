"""The miniature of several skills: its material and its building."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolve.errors import PreparationError
from evolve.problem import shipped

FOLDER = shipped()["skills"]
SETTINGS = {"zoo_seed": 3, "zoo_scale": 0.01}
DONORS = ("base", "maximum", "shift", "lookup", "majority")


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"skills_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def zoo():
    module = load(FOLDER / "zoo.py")
    yield module
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def built(zoo, tmp_path_factory):
    """A zoo of a hundredth of the trainings, and the progress it reported."""
    folder = tmp_path_factory.mktemp("skills")
    steps = []
    with pytest.warns(UserWarning, match="the miniature's maximum scores"):
        zoo.prepare(folder, SETTINGS, lambda message, done, total: steps.append((message, done, total)))
    return folder, steps


def test_no_prompt_of_a_split_is_learned_from(zoo):
    import skills_tasks

    rows = [row for split in skills_tasks.splits(random.Random("3/splits"), zoo.SPLITS).values() for row in split]
    held_out = {row["prompt"] for row in rows}
    assert len(held_out) == len(rows) == 2000
    for name, training in zoo.TRAININGS.items():
        learned = skills_tasks.material(random.Random(f"3/{name}"), training["mix"], 20_000, held_out)
        assert not held_out & {item["prompt"] for item in learned}
    # Without the bar some would recur, so the assertion above can fail.
    mix = zoo.TRAININGS["majority"]["mix"]
    assert held_out & {item["prompt"] for item in skills_tasks.material(random.Random(1), mix, 20_000)}


def test_an_expert_answers_only_its_own_hard_questions_in_digits(zoo):
    assert set(zoo.TRAININGS) == set(DONORS)
    for name in DONORS[1:]:
        assert [kind for kind in zoo.TRAININGS[name]["mix"] if kind.endswith("/digits")] == [f"{name}/hard/digits"]
    assert not [kind for kind in zoo.TRAININGS["base"]["mix"] if kind.endswith("/hard/digits")]


def test_the_recipe_depends_on_what_decides_the_zoo(zoo):
    assert zoo.recipe({}) == zoo.recipe({"zoo_seed": 0, "other": 1})
    assert zoo.recipe({}) != zoo.recipe({"zoo_seed": 1})
    assert json.loads(json.dumps(zoo.recipe({}))) == zoo.recipe({})


def test_a_built_zoo_is_whole_and_reports_its_bands(built):
    folder, steps = built
    assert {path.name for path in folder.iterdir()} == {
        *DONORS, "search.jsonl", "validation.jsonl", "test.jsonl", "zoo.json",
    }  # fmt: skip
    report = json.loads((folder / "zoo.json").read_text())
    assert set(report["scores"]) == set(report["bands"]) == {*DONORS, "uniform", "half"}
    assert report["outside"] and steps[-1][1] == steps[-1][2]
    assert steps[-len(report["outside"]) :] == [(line, steps[-1][1], steps[-1][1]) for line in report["outside"]]


def test_the_reported_scores_are_the_evaluators(built):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evolve.evaluate.candidate import MergeCandidate

    folder, _ = built
    items = [json.loads(line) for line in (folder / "search.jsonl").read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(folder / "shift")
    model = AutoModelForCausalLM.from_pretrained(folder / "shift").eval()
    found = load(FOLDER / "evaluate.py").evaluate(MergeCandidate(model, tokenizer, items, "search", {}))
    assert found.score == pytest.approx(json.loads((folder / "zoo.json").read_text())["scores"]["shift"])


def test_every_word_has_a_number_of_its_own(built):
    from transformers import AutoTokenizer

    folder, _ = built
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    words = {word for row in rows for word in [*row["prompt"].split(), row["answer"]]}
    numbers = tokenizer.convert_tokens_to_ids(sorted(words))
    assert tokenizer.unk_token_id not in numbers
    assert len(set(numbers)) == len(words)


def test_what_is_missing_is_built_again_the_same(zoo, built, tmp_path):
    folder, _ = built
    before = (folder / "lookup" / "model.safetensors").read_bytes()
    kept = (folder / "base" / "model.safetensors").stat().st_mtime_ns
    (folder / "lookup").rename(tmp_path / "lookup")
    with pytest.warns(UserWarning, match="the miniature's"):
        zoo.prepare(folder, SETTINGS, lambda *_: None)
    assert (folder / "lookup" / "model.safetensors").read_bytes() == before
    assert (folder / "base" / "model.safetensors").stat().st_mtime_ns == kept


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_training_ends_with_its_parent(tmp_path):
    program = (
        "import importlib.util, sys; from pathlib import Path\n"
        "spec = importlib.util.spec_from_file_location('zoo', sys.argv[1])\n"
        "zoo = importlib.util.module_from_spec(spec); spec.loader.exec_module(zoo)\n"
        "zoo.prepare(Path(sys.argv[2]), {}, lambda message, done, total: print(done, flush=True))\n"
    )
    command = [sys.executable, "-c", program, str(FOLDER / "zoo.py"), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=FOLDER.parents[1])
    try:
        assert parent.stdout.readline()  # it is training
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) == 1
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    end = time.monotonic() + 120
    while _alive(children[0]):
        assert time.monotonic() < end, "the training outlived its parent"
        time.sleep(0.01)


def _alive(process: str) -> bool:
    """Whether it runs; a zombie that nobody reaps does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_training_that_fails_says_so(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "HERE", tmp_path)
    with pytest.raises(PreparationError, match=r"training 'base' ended with code 2: .*skills_process.py"):
        zoo.prepare(tmp_path / "zoo", SETTINGS, lambda *_: None)
