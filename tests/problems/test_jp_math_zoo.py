"""The tiny zoo of jp_math: its questions, its tokenizer, and its building."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolve.errors import PreparationError

SETTINGS = {"zoo_seed": 3, "zoo_scale": 0.002}
DONORS = ("base", "ja", "math1", "math2")


@pytest.fixture(scope="module")
def questions(zoo):
    return sys.modules["zoo_questions"]


@pytest.fixture(scope="module")
def splits(zoo, questions):
    return questions.splits(random.Random("3/splits"), zoo.SPLITS)


def test_splits_hold_each_question_once_and_both_kinds_evenly(splits):
    rows = [row for split in splits.values() for row in split]
    assert [len(split) for split in splits.values()] == [300, 300, 600]
    assert len({row["question"] for row in rows}) == len(rows)
    for split in splits.values():
        assert sum(row["kind"] == "add" for row in split) * 2 == len(split)


def test_answers_are_right(splits):
    for row in splits["search"]:
        a, b = map(int, re.findall(r"\d+", row["question"]))
        assert row["answer"] == (a + b if row["kind"] == "add" else a - b)
        assert 10 <= b <= 30
        assert row["answer"] >= 10


def test_no_training_text_asks_a_held_out_question(zoo, questions, splits):
    held_out = {row["question"] for split in splits.values() for row in split}
    material = questions.Material(random.Random(0), held_out, 0.0)
    for training in zoo.TRAININGS.values():
        texts = material.texts(training["mix"], 3000)
        assert not held_out & {text[0][0].removesuffix("\n") for text in texts}


def test_held_out_questions_are_drawn_again(questions):
    once = questions.Material(random.Random(5), set(), 0.0).texts({"ja_setup": 1.0}, 1)[0][0][0].removesuffix("\n")
    again = questions.Material(random.Random(5), {once}, 0.0).texts({"ja_setup": 1.0}, 1)[0][0][0].removesuffix("\n")
    assert once != again


def test_each_mathematician_sees_one_hard_operation_only(zoo, questions):
    for name, foreign in (("math1", "-"), ("math2", "+")):
        material = questions.Material(random.Random(1), set(), 0.0)
        for text in material.texts(zoo.TRAININGS[name]["mix"], 500):
            joined = "".join(segment for segment, _ in text)
            hard = [(int(a), int(b)) for a, b in re.findall(r"(\d+)" + re.escape(foreign) + r"(\d+)=", joined)]
            assert all(min(a, b) < 10 for a, b in hard)


def test_the_tokenizer_is_reproducible_and_keeps_numbers_whole(zoo):
    import zoo_tokenizer

    tokenizer = zoo_tokenizer.build()
    assert tokenizer.backend_tokenizer.to_str() == zoo_tokenizer.build().backend_tokenizer.to_str()
    assert all(len(tokenizer(str(n), add_special_tokens=False).input_ids) == 1 for n in range(100))
    text = "足し算をします。28+16=44。答えは44枚です。"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in tokenizer(text).input_ids
    assert tokenizer("花").input_ids[0] == tokenizer.bos_token_id


def test_a_prompt_and_its_answer_encode_apart_as_they_do_together(zoo, questions):
    import zoo_tokenizer

    tokenizer = zoo_tokenizer.build()
    rng = random.Random(2)
    for _ in range(50):
        made = questions.problem(rng, hard=True)
        prompt, answer = made.question("ja") + "\n", made.answer("ja")
        parts = tokenizer(prompt).input_ids + tokenizer(answer, add_special_tokens=False).input_ids
        assert parts == tokenizer(prompt + answer).input_ids


def test_the_recipe_depends_on_what_decides_the_zoo(zoo):
    assert zoo.recipe({}) == zoo.recipe({"zoo_seed": 0, "prompt": "plain"})
    assert zoo.recipe({}) != zoo.recipe({"zoo_seed": 1})
    assert json.loads(json.dumps(zoo.recipe({}))) == zoo.recipe({})


def children(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def alive(process: int) -> bool:
    """Whether it runs; a zombie that nobody reaps does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this never happened"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def interrupted(zoo, jp_math_folder, tmp_path_factory):
    """A zoo whose building was killed while the experts were trained, with what that left behind."""
    folder = tmp_path_factory.mktemp("zoo")
    program = (
        "import importlib.util, sys; from pathlib import Path\n"
        "spec = importlib.util.spec_from_file_location('zoo', sys.argv[1])\n"
        "zoo = importlib.util.module_from_spec(spec); spec.loader.exec_module(zoo)\n"
        f"zoo.prepare(Path(sys.argv[2]), {SETTINGS!r}, lambda *_: None)\n"
    )
    command = [sys.executable, "-c", program, str(jp_math_folder / "zoo.py"), str(folder)]
    process = subprocess.Popen(command, cwd=jp_math_folder.parents[1])
    try:
        wait_for(lambda: (folder / "base").is_dir() and len(children(process.pid)) == 3)
        experts = children(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(map(alive, experts)))
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_an_interrupted_building_continues_to_a_whole_zoo(zoo, interrupted):
    assert not any((interrupted / name).exists() for name in DONORS[1:])
    (interrupted / ".unfinished-ja").mkdir()
    before = (interrupted / "base" / "model.safetensors").stat()
    steps = []
    with pytest.warns(UserWarning, match="tiny zoo's math1"):
        zoo.prepare(interrupted, SETTINGS, lambda message, done, total: steps.append((message, done, total)))
    after = (interrupted / "base" / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not list(interrupted.glob(".*"))
    assert {path.name for path in interrupted.iterdir()} == {
        *DONORS, "search.jsonl", "validation.jsonl", "test.jsonl", "zoo.json",
    }  # fmt: skip
    assert {"training ja, math1, math2", "checking the zoo"} <= {message for message, _, _ in steps}
    assert all(earlier[1] <= later[1] for earlier, later in itertools.pairwise(steps))
    assert steps[-1][1] == steps[-1][2]
    report = json.loads((interrupted / "zoo.json").read_text())
    assert set(report["scores"]) == {*DONORS, "uniform"}
    assert report["outside"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the zoo of the test before")
@pytest.mark.parametrize("name", ["base", "math1"])
def test_the_same_seed_gives_the_same_weights(zoo, interrupted, tmp_path, name):
    import torch
    import zoo_training

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        job = zoo._job(interrupted, zoo.recipe(SETTINGS), name)
        zoo_training.run({**job, "folder": str(tmp_path / name)}, lambda *_: None)
    finally:
        torch.set_num_threads(threads)
    files = [folder / name / "model.safetensors" for folder in (interrupted, tmp_path)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the zoo of the test before")
def test_a_donor_is_an_ordinary_checkpoint(zoo, interrupted):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(interrupted / "math2")
    model = AutoModelForCausalLM.from_pretrained(interrupted / "math2")
    assert tokenizer.padding_side == "left"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("</s>")
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert model.config.vocab_size == len(tokenizer)


def test_a_training_that_fails_says_so(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "HERE", tmp_path)
    with pytest.raises(PreparationError, match=r"training 'base' of the tiny zoo ended with code 2: .*zoo_process.py"):
        zoo.prepare(tmp_path / "zoo", SETTINGS, lambda *_: None)
