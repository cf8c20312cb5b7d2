"""The texts that statistics of jp_math's tiny donors are made from."""

from __future__ import annotations

import json
import random
import re

import pytest


@pytest.fixture(scope="module")
def texts(zoo, jp_math_folder):
    lines = (jp_math_folder / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def test_the_file_is_what_its_generator_writes(zoo, texts):
    import zoo_texts

    assert texts == zoo_texts.texts()
    assert len(set(texts)) == zoo_texts.COUNT


@pytest.mark.parametrize("seed", range(4))
def test_no_text_is_an_item_of_a_split(zoo, texts, seed):
    import zoo_questions

    splits = zoo_questions.splits(random.Random(f"{seed}/splits"), zoo.SPLITS)
    held_out = {row["question"] for rows in splits.values() for row in rows}
    assert not held_out & {text.split("\n")[0] for text in texts}
    assert all(int(re.findall(r"\d+", text)[1]) < 10 for text in texts)
    assert all(int(re.findall(r"\d+", question)[1]) >= 10 for question in held_out)


def test_texts_have_no_unknown_tokens(zoo, texts):
    import zoo_tokenizer

    tokenizer = zoo_tokenizer.build()
    for ids in tokenizer(texts).input_ids:
        assert tokenizer.unk_token_id not in ids
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
