from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer

from evolve.donor_statistics import AdaMergingSpec, StatisticsSpec
from evolve.donors.donors import load_donors
from evolve.donors.statistics import DonorStatistics, StatisticStore
from evolve.donors.tensor_file import write_tensors
from evolve.donors.texts import encode, in_turn, read_texts
from evolve.errors import DonorError, ProblemError

DONOR = "d" * 64


@pytest.fixture
def store(tmp_path):
    return StatisticStore(tmp_path / "statistics", {"fisher": "f" * 64, "gram": "a" * 64})


def _written(store):
    tensors = {"x": torch.arange(6.0).reshape(2, 3), "scalar": torch.tensor(0.25), "none": torch.zeros(0, 3)}
    return tensors, store.write(DONOR, "fisher", tensors)


def test_what_is_written_is_read(store):
    tensors, path = _written(store)
    assert path == store.folder / DONOR / "fisher-ffffffffffffffff.safetensors"
    assert store.names(DONOR) == ("fisher",)
    assert store.names("e" * 64) == ()
    for site, tensor in tensors.items():
        assert torch.equal(store.read(DONOR, "fisher", site), tensor)
    with safe_open(path, framework="pt") as handle:  # an ordinary file for other tools
        assert set(handle.keys()) == set(tensors)


def test_numbers_become_float32_and_views_are_written_in_order(store):
    store.write(DONOR, "gram", {"turned": torch.arange(6).reshape(2, 3).T.double(), "half": torch.ones(2).bfloat16()})
    assert torch.equal(store.read(DONOR, "gram", "turned"), torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]))
    assert store.read(DONOR, "gram", "half").dtype == torch.float32


def test_sites_may_share_a_tensor(store):
    path = store.write_stream(DONOR, "gram", {"q": (2, 2)}, [("q", torch.eye(2))], {"k": "q"})
    assert torch.equal(store.read(DONOR, "gram", "k"), torch.eye(2))
    assert path.stat().st_size < 300


def test_a_writer_that_fails_leaves_nothing_that_looks_complete(store):
    def tensors():
        yield "x", torch.ones(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_stream(DONOR, "gram", {"x": (2,), "y": (2,)}, tensors())
    assert store.names(DONOR) == ()
    assert not list((store.folder / DONOR).iterdir())


def test_what_a_killed_writer_left_is_removed_by_the_next(store):
    path = store.path(DONOR, "gram")
    path.parent.mkdir(parents=True)
    left = path.with_name(f".{path.name}.12345678")
    left.write_bytes(b"half")
    assert store.names(DONOR) == ()
    store.write(DONOR, "gram", {"x": torch.ones(2)})
    assert not left.exists()


@pytest.mark.parametrize("tensors", [{"y": torch.ones(2)}, {"x": torch.ones(3)}, {}])
def test_other_tensors_than_announced_are_refused(tmp_path, tensors):
    with pytest.raises(ValueError, match=r"is not the next tensor|lacks x"):
        write_tensors(tmp_path / "file.safetensors", {"x": (2,)}, tensors.items())
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_cannot_be_read_is_explained(store):
    with pytest.raises(DonorError, match=r"fisher-f+\.safetensors does not exist; .*evolve donors PROBLEM --prepare"):
        store.read(DONOR, "fisher", "x")
    _, path = _written(store)
    with pytest.raises(DonorError, match="holds no fisher of other"):
        store.read(DONOR, "fisher", "other")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DonorError, match="remove it and make it again"):
        StatisticStore(store.folder, {"fisher": "f" * 64}).read(DONOR, "fisher", "x")


def _texts(tmp_path, *texts):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_texts_are_read_in_order_and_no_more_than_asked_for(tmp_path):
    path = _texts(tmp_path, "ab", "cd", "ef")
    assert read_texts(path, 2) == ["ab", "cd"]
    assert read_texts(path, 9) == ["ab", "cd", "ef"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "texts for statistics are missing: .*texts.jsonl"),
        ("", "holds no texts"),
        ("{", "line 1: no JSON"),
        ('{"question": "x"}\n', 'line 1: no object with a string under "text"'),
    ],
)
def test_wrong_texts_are_explained(tmp_path, content, said):
    path = tmp_path / "texts.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProblemError, match=said):
        read_texts(path, 3)


def test_texts_are_cut_and_single_tokens_left_out(workshop):
    tokenizer = workshop.tokenizer()
    assert encode(["abcdef", ""], tokenizer, 4, 64) == [[1, 4, 5, 6]]
    with pytest.raises(ProblemError, match="no text for statistics has two tokens"):
        encode([""], tokenizer, 4, 64)
    with pytest.raises(DonorError, match="makes token 9, the donors' embeddings have 8 rows"):
        encode(["abcdef"], tokenizer, 99, 8)


def test_files_take_turns():
    assert in_turn([[[1], [2], [3]], [[4]], [[5], [6]]]) == [[1], [4], [5], [2], [6], [3]]


@pytest.fixture
def opened(workshop, tmp_path):
    """``opened(texts, spec changes)``: statistics of three donors."""
    donors = load_donors(workshop.donors("llama", "base", "ja", "math"))
    tokenizer = AutoTokenizer.from_pretrained(donors["base"].path)

    def make(*texts, of=donors, **changes):
        return DonorStatistics(of, tokenizer, StatisticsSpec(**{"texts": str(_texts(tmp_path, *texts)), **changes}))

    make.donors = donors
    return make


def _keys(statistics):
    """By statistic, the file of donor ja."""
    return {name: statistics.store("ja").key(name) for name in ("fisher", "gram", "adamerging")}


def test_the_file_depends_on_texts_and_settings(opened):
    first = _keys(opened("abc", "def"))
    assert _keys(opened("abc", "def", max_tokens=100)) == first  # nothing is cut
    for other in (opened("abc", "deg"), opened("abc", "def", items=1), opened("abc", "def", max_tokens=3)):
        assert all(key != first[name] for name, key in _keys(other).items())
    longer = _keys(opened("abc", "def", adamerging=AdaMergingSpec(steps=7)))
    assert [name for name in first if longer[name] != first[name]] == ["adamerging"]


def test_adamerging_depends_on_all_donors(opened, workshop):
    first = _keys(opened("abc"))
    fewer = load_donors({name: donor.path for name, donor in opened.donors.items() if name != "math"})
    assert [name for name, key in _keys(opened("abc", of=fewer)).items() if key != first[name]] == ["adamerging"]


@pytest.fixture
def own(opened, tmp_path):
    """``own(unlabelled, text by donor)``: statistics of donors with texts of their own."""

    def make(unlabelled="", **texts):
        for name, text in {**texts, "unlabelled": unlabelled}.items():
            (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": text}) + "\n")
        named = str(tmp_path / "unlabelled.jsonl") if unlabelled else ""
        return opened("nothing", texts={name: str(tmp_path / f"{name}.jsonl") for name in texts}, unlabelled=named)

    return make


def test_each_donor_reads_its_own_texts(own, opened):
    statistics = own(base="ab", ja="cd", math="ef", unlabelled="gh")
    spelled = opened("ab", "cd", "ef", "gh").texts["base"]
    assert [*(statistics.texts[name] for name in ("base", "ja", "math")), statistics.unlabelled] == [
        [text] for text in spelled
    ]
    assert own(base="ab", ja="cd", math="ef").unlabelled == spelled[:3]


def test_a_file_belongs_to_what_it_was_made_of(own, opened):
    first = _keys(own(base="ab", ja="cd", math="ef"))
    assert first["fisher"] == _keys(opened("cd"))["fisher"]
    changed = {"unlabelled": {"unlabelled": "gh"}, "own": {"ja": "ce"}, "other's": {"base": "ac"}}
    texts = {"base": "ab", "ja": "cd", "math": "ef"}
    made = {what: _keys(own(**{**texts, **change})) for what, change in changed.items()}
    differing = {what: sorted(name for name in first if keys[name] != first[name]) for what, keys in made.items()}
    assert differing == {
        "unlabelled": ["adamerging"],
        "own": ["adamerging", "fisher", "gram"],
        "other's": ["adamerging"],
    }
    # and with unlabelled texts of their own, the coefficients need nothing of the donors' texts
    keys = _keys(own(**{**texts, "base": "ac", "unlabelled": "gh"}))
    assert keys == made["unlabelled"]


def test_donors_are_asked_by_name(opened):
    statistics = opened("abc")
    assert statistics.names("ja") == ()
    statistics.store("ja").write(opened.donors["ja"].digest, "adamerging", {"x": torch.tensor(0.5)})
    assert statistics.names("ja") == ("adamerging",)
    assert statistics.names("math") == ()
    assert float(statistics("ja", "adamerging", "x")) == 0.5
    assert statistics.wanted("base") == ("fisher", "gram")
    assert statistics.wanted("ja") == ("adamerging", "fisher", "gram")
