from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from evolve.donors.donors import load_donors
from evolve.donors.surface import read_vocabulary
from evolve.errors import DonorError
from evolve.merge.export import export
from evolve.merge.model import LiveModel

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_ENGLISH = ["the cat sat on the mat and the dog ran to the cat"] * 9
_JAPANESE = ["猫は今日も好きです the 犬は今日も好きです"] * 9


def _byte_level(folder, corpus, size, *specials):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    control = ["<pad>", "<s>", "</s>", *specials]
    options = {"special_tokens": control, "initial_alphabet": alphabet, "show_progress": False}
    inner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, **options))
    return _saved(inner, folder)


def _sentencepiece(folder, corpus, size, *specials):
    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    control = ["<pad>", "<s>", "</s>", "<unk>", *specials]
    inner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, special_tokens=control, show_progress=False))
    table = json.loads(inner.to_str())
    table["model"]["vocab"] |= {"<0xE3>": inner.get_vocab_size(), "<0xFE>": inner.get_vocab_size() + 1}
    return _saved(Tokenizer.from_str(json.dumps(table)), folder)


def _words(folder, words, *specials):
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *specials, *words]
    inner = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return _saved(inner, folder)


def _saved(inner, folder):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token=None
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture
def donor(workshop):
    def make(name, seed, tokenizer, *arguments, architecture="llama", more_rows=0, **changes):
        """A model folder with a tokenizer of its own."""
        folder = workshop.folder / name
        rows = len(tokenizer(folder, *arguments)) + more_rows
        workshop.save(workshop.model(architecture, seed, vocab_size=rows, **changes), name, tokenizer=False)
        return folder

    return make


@pytest.fixture
def spec(donor):
    return {
        "base": donor("base", 0, _byte_level, _ENGLISH, 290),
        "ja": donor("ja", 1, _sentencepiece, _JAPANESE, 70, "<|im_start|>"),
    }


def _union(spec, **options):
    return load_donors(spec, vocabulary="union", **options)


def _row(donors, name, text, site=EMBEDDING):
    ids = AutoTokenizer.from_pretrained(donors.tokenizer)(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 1, text
    return donors[name].tensors[site][ids[0]]


def _stored(folder, text, site=EMBEDDING):
    number = read_vocabulary(folder).ids[text]
    return load_file(folder / "model.safetensors")[site][number]


def _refused(spec, match, **options):
    with pytest.raises(DonorError, match=match) as caught:
        _union(spec, **options)
    assert "\n" not in str(caught.value)


def test_without_a_union_other_tokenizers_are_refused(spec):
    with pytest.raises(DonorError, match=r"donor 'ja': .* has \d+ vocabulary rows.*set vocabulary = \"union\""):
        load_donors(spec)


def test_every_donors_tokens_are_there_under_the_references_ids(spec):
    donors = _union(spec)
    base, ja = (read_vocabulary(spec[name]) for name in ("base", "ja"))
    united = read_vocabulary(donors.tokenizer)
    for number, surface in base.surfaces.items():
        assert united.surfaces[number] == surface
    assert {surface for surface in ja.ids if isinstance(surface, str)} <= united.ids.keys()
    tokenizer = AutoTokenizer.from_pretrained(donors.tokenizer)
    for surface in ja.ids:
        if isinstance(surface, str) and surface not in base.ids:
            assert tokenizer(surface, add_special_tokens=False)["input_ids"] == [united.ids[surface]], surface
    assert "は今日も好きです" in united.ids
    assert "<|im_start|>" in united.special
    assert (
        tokenizer.decode(tokenizer("the 猫は今日も好きです")["input_ids"], skip_special_tokens=True)
        == "the 猫は今日も好きです"
    )
    rows = len(united.surfaces)
    assert donors.reference.config.vocab_size == rows
    assert {donors[name].tensors[site].shape for name in donors for site in (EMBEDDING, HEAD)} == {(rows, 32)}
    assert {site.shape[0] for site in donors.sites if site.name in (EMBEDDING, HEAD)} == {rows}
    assert donors["ja"].parameters == donors["base"].parameters > 2 * rows * 32


def test_rows_go_to_the_tokens_they_belong_to(spec):
    donors = _union(spec)
    for site in (EMBEDDING, HEAD):
        shared, only_ja, only_base = "t", "猫", " cat"
        assert torch.equal(_row(donors, "base", shared, site), _stored(spec["base"], shared, site))
        assert torch.equal(_row(donors, "ja", shared, site), _stored(spec["ja"], shared, site))
        for name in donors:
            assert torch.equal(_row(donors, name, only_ja, site), _stored(spec["ja"], only_ja, site))
            assert torch.equal(_row(donors, name, only_base, site), _stored(spec["base"], only_base, site))
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(donors["ja"].tensors[name], load_file(spec["ja"] / "model.safetensors")[name])


def test_parts_of_characters_are_left_out_where_the_reference_has_none(donor):
    spec = {
        "base": donor("base", 0, _sentencepiece, _JAPANESE, 70),
        "ja": donor("ja", 1, _byte_level, _JAPANESE, 290),
    }
    donors = _union(spec)
    base, ja, united = (read_vocabulary(folder) for folder in (spec["base"], spec["ja"], donors.tokenizer))
    parts = [surface for surface in ja.ids if isinstance(surface, bytes)]
    assert b"\xe3" in parts
    assert b"\xe3" in united.ids
    assert donors.notes[-1].endswith(f"; {len(set(parts) - set(base.ids))} that are part of a character are left out")
    _refused(spec, "the token 'ľ' of 'ja' is part of a character and cannot be added; leave it out", tokens={"ľ": "ja"})
    byte = united.ids[b"\xe3"]
    assert torch.equal(donors["base"].tensors[HEAD][byte], _stored(spec["base"], b"\xe3", HEAD))
    assert torch.equal(donors["ja"].tensors[HEAD][byte], _stored(spec["ja"], b"\xe3", HEAD))


def test_a_missing_row_comes_from_the_base_or_is_the_owners_mean(donor):
    spec = {
        "base": donor("base", 0, _words, ["one", "two"], more_rows=3),
        "ja": donor("ja", 1, _words, ["two", "three", "four"]),
        "math": donor("math", 2, _words, ["three", "five"]),
    }
    donors = _union(spec)
    assert torch.equal(_row(donors, "math", "two"), _stored(spec["base"], "two"))
    assert torch.equal(_row(donors, "math", "four"), _stored(spec["ja"], "four"))
    both = (_stored(spec["ja"], "three") + _stored(spec["math"], "three")) / 2
    assert torch.equal(_row(donors, "base", "three"), both)
    assert torch.equal(_row(donors, "ja", "three"), _stored(spec["ja"], "three"))
    # Base: 6 tokens in 9 rows; "three", "four" and "five" get the numbers of the rows without a token.
    assert donors["base"].tensors[EMBEDDING].shape == (9, 32)
    assert donors.notes == (
        "vocabulary: 2 tokens of 'ja' are added to those of 'base'",
        "vocabulary: 1 tokens of 'math' are added to those of 'base'",
    )


def test_rows_without_a_token_are_the_mean(donor):
    spec = {"base": donor("base", 0, _words, ["one"], more_rows=4), "ja": donor("ja", 1, _words, ["two"])}
    donors = _union(spec)
    assert donors["ja"].tensors[EMBEDDING].shape == (9, 32)
    for name, rows in (("base", [0, 1, 2, 3, 4]), ("ja", [0, 1, 2, 3, 4])):
        mean = load_file(spec[name] / "model.safetensors")[HEAD][rows].mean(dim=0)
        for number in (6, 7, 8):
            torch.testing.assert_close(donors[name].tensors[HEAD][number], mean)


def test_a_chosen_donor_gives_a_tokens_row_to_all(spec):
    donors = _union(spec, tokens={"t": "ja", "Ġcat": "base", "</s>": "ja"})
    for site in (EMBEDDING, HEAD):
        for name in donors:
            assert torch.equal(_row(donors, name, "t", site), _stored(spec["ja"], "t", site))
            assert torch.equal(_row(donors, name, "</s>", site), _stored(spec["ja"], "</s>", site))
            assert torch.equal(_row(donors, name, " cat", site), _stored(spec["base"], " cat", site))
    assert donors["base"].digest != _union(spec)["base"].digest
    _refused(
        spec, "the token 't' is to come from 'jp', which is no model among the donors: base, ja", tokens={"t": "jp"}
    )
    _refused(spec, "the token ' dog' is to come from 'ja', whose vocabulary has no such token", tokens={" dog": "ja"})


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_union_is_merged_exported_reloaded_and_generates(donor, mix, tmp_path, architecture):
    spec = {
        "base": donor("base", 0, _byte_level, _ENGLISH, 290, architecture=architecture, dtype=torch.bfloat16),
        "ja": donor("ja", 1, _sentencepiece, _JAPANESE, 70, architecture=architecture),
    }
    live = LiveModel(_union(spec))
    live.apply(mix(live.sites, {"base": 0.5, "ja": 0.5}, [("merged", 0, 1.0), ("ja", 1, 1.0), ("merged", 2, 1.0)]))
    assert len(live.tokenizer) == live.model.config.vocab_size == live.model.get_input_embeddings().weight.shape[0]
    export(live, tmp_path / "merged", "card")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert (HEAD in dict(model.named_parameters())) == (architecture == "llama")
    ids = tokenizer("the 猫は今日も好きです", return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        assert torch.equal(model(**ids).logits, live.model(**ids).logits)
        assert model(**ids).logits.shape[-1] == len(tokenizer)
        made = model.generate(**ids, max_new_tokens=4, do_sample=False)
    assert made.shape[1] == ids["input_ids"].shape[1] + 4 or made[0, -1] == 2
    assert isinstance(tokenizer.decode(made[0]), str)


def test_adapters_and_aligned_donors_follow_the_union(spec, tmp_path):
    torch.manual_seed(0)
    rows = len(AutoTokenizer.from_pretrained(spec["ja"]))
    for name, width in (("mlp", None), ("words", rows)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
        module = "base_model.model.model.layers.1.mlp.up_proj.lora_{}.weight"
        factors = {module.format("A"): torch.randn(2, 32), module.format("B"): torch.randn(48, 2)}
        if width:
            module = "base_model.model.model.embed_tokens.lora_embedding_{}"
            factors |= {module.format("A"): torch.randn(2, width), module.format("B"): torch.randn(32, 2)}
        save_file(factors, folder / "adapter_model.safetensors")
        spec[name] = {"adapter": str(folder), "on": "ja"}
    spec["aligned"] = {"align": "words", "to": "base"}
    donors = _union(spec)
    assert donors["mlp"].tensors[EMBEDDING] is donors["ja"].tensors[EMBEDDING]
    change = load_file(tmp_path / "words" / "adapter_model.safetensors")
    up, down = (change[f"base_model.model.model.embed_tokens.lora_embedding_{side}"] for side in "AB")
    number = read_vocabulary(spec["ja"]).ids["猫"]
    torch.testing.assert_close(_row(donors, "words", "猫"), _stored(spec["ja"], "猫") + down @ up[:, number])
    # An adapter's rows are its own: the base lacks this token and has the model's.
    assert torch.equal(_row(donors, "base", "猫"), _stored(spec["ja"], "猫"))
    assert donors["aligned"].tensors[EMBEDDING].shape == donors["base"].tensors[EMBEDDING].shape


def test_a_union_is_prepared_once(spec, monkeypatch):
    first = _union(spec)
    monkeypatch.setattr("evolve.donors.union._write_tokenizer", lambda *_: pytest.fail("united again"))
    second = _union(spec)
    assert (second.notes, second.tokenizer) == (first.notes, first.tokenizer)
    assert [donor.digest for donor in second.values()] == [donor.digest for donor in first.values()]
    assert list((Path(os.environ["EVOLVE_CACHE"]) / "unions").glob("*/tokenizer.json"))


def test_the_chat_template_and_the_special_ids_stay(spec):
    (spec["base"] / "chat_template.jinja").write_text("{{ messages[0]['content'] }}!")
    tokenizer = AutoTokenizer.from_pretrained(_union(spec).tokenizer)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)


def test_missing_and_damaged_tokenizers(spec, donor):
    (spec["ja"] / "tokenizer.json").write_text("{")
    _refused(spec, r"the tokenizer in .*ja cannot be read: .*; take another copy of its files")
    (spec["ja"] / "tokenizer.json").unlink()
    donors = _union(spec)  # without a tokenizer its rows mean what the base's mean
    rows = load_file(spec["ja"] / "model.safetensors")[EMBEDDING]
    assert torch.equal(donors["ja"].tensors[EMBEDDING][: len(rows)], rows)
    (spec["base"] / "tokenizer.json").unlink()
    _refused(
        spec, r"donor 'base' has no tokenizer in .*base, which a union of vocabularies needs; put its tokenizer\.json"
    )
    with pytest.raises(DonorError, match="vocabulary must be one of reference, union, not 'both'"):
        load_donors(spec, vocabulary="both")


def test_surfaces_of_the_kinds_of_tokenizers(spec):
    base, ja = (read_vocabulary(spec[name]) for name in ("base", "ja"))
    assert base.raw["Ġcat"] == " cat"
    assert base.raw["Ġ"] == " "
    assert base.raw["ã"] == ja.raw["<0xE3>"] == b"\xe3"
    assert ja.raw["▁"] == " "
    assert ja.raw["<|im_start|>"] == "<|im_start|>"
