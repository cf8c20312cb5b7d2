"""The texts that statistics of jp_math's tiny donors are made from."""

from __future__ import annotations

import json
import random
import re

import pytest

from evolve import problem as problems

DONORS = ("base", "ja", "math1", "math2")


@pytest.fixture(scope="module")
def files(zoo, jp_math_folder):
    names = sorted(path.name for path in jp_math_folder.glob("texts*.jsonl"))
    found = {name: (jp_math_folder / name).read_text(encoding="utf-8").splitlines() for name in names}
    return {name: [json.loads(line)["text"] for line in lines] for name, lines in found.items()}


@pytest.fixture(scope="module")
def texts(files):
    return [text for content in files.values() for text in content]


def _questions(texts):
    return [text.split("\n")[0] for text in texts if "\n" in text]


def test_the_files_are_what_their_generator_writes(files):
    import zoo_texts

    assert files == zoo_texts.files()
    assert all(len(set(content)) == len(content) for content in files.values())
    assert len(files["texts.jsonl"]) == zoo_texts.COUNT


def test_the_profile_reads_the_files(files, jp_math_folder):
    spec = problems.load(str(jp_math_folder), "tiny").statistics(None)
    assert spec.unlabelled_files() == [str(jp_math_folder / "texts.jsonl")]
    own = {spec.own_file(donor) for donor in DONORS}
    assert {*own, *spec.unlabelled_files()} == {str(jp_math_folder / name) for name in files}


@pytest.mark.parametrize("seed", range(4))
def test_no_text_is_an_item_of_a_split(zoo, texts, seed):
    import zoo_questions

    splits = zoo_questions.splits(random.Random(f"{seed}/splits"), zoo.SPLITS)
    held_out = {row["question"] for rows in splits.values() for row in rows}
    assert not any(question in text for question in held_out for text in texts)
    # nor a translation of one
    assert all(int(number) < 10 for question in _questions(texts) for number in re.findall(r"\d+", question)[1:])
    assert all(int(re.findall(r"\d+", question)[1]) >= 10 for question in held_out)


def test_each_donor_has_texts_of_its_skill(files):
    for donor, sign in (("math1", "+"), ("math2", "-")):
        content = files[f"texts_{donor}.jsonl"]
        assert all(text.isascii() for text in content)
        assert sum(sign in text for text in content) > 0.9 * len(content)
        assert 30 < len(_questions(content)) < 100
    assert not any(text.isascii() for name in ("texts.jsonl", "texts_ja.jsonl") for text in files[name])


def test_texts_have_no_unknown_tokens(zoo, texts):
    import zoo_tokenizer

    tokenizer = zoo_tokenizer.build()
    for ids in tokenizer(texts).input_ids:
        assert tokenizer.unk_token_id not in ids
        assert ids[0] == tokenizer.bos_token_id
    for ids in tokenizer([text for text in texts if "\n" in text]).input_ids:
        assert ids[-1] == tokenizer.eos_token_id
