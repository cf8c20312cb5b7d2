from __future__ import annotations

import stat

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.donors.donors import load_donors
from evolve.errors import RunError, UsageError
from evolve.merge import export as module
from evolve.merge.export import export
from evolve.merge.model import LiveModel


@pytest.fixture(params=["llama", "gemma2"])
def live(request, workshop, mix):
    live = LiveModel(load_donors(workshop.donors(request.param, "base", "ja", dtype=torch.bfloat16)))
    live.apply(mix(live.sites, {"base": 0.5, "ja": 0.4}, [("merged", 0, 1.0), ("ja", 1, -2.0)]))
    return live


def test_the_checkpoint_is_the_live_model(live, tmp_path):
    folder = tmp_path / "out" / "merged"
    export(live, folder, "# A merge\n")
    assert (folder / "README.md").read_text() == "# A merge\n"
    names = {file.name for file in folder.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"}
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert model.dtype == torch.bfloat16
    assert model.config.num_hidden_layers == 2
    ids = torch.arange(3, 15)[None]
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, live.model(input_ids=ids).logits)
    assert AutoTokenizer.from_pretrained(folder)("1+1=")["input_ids"] == live.tokenizer("1+1=")["input_ids"]
    assert list(folder.parent.iterdir()) == [folder]
    assert stat.S_IMODE(folder.stat().st_mode) & 0o700 == 0o700


def test_an_empty_folder_is_filled_and_a_full_one_refused(live, tmp_path):
    folder = tmp_path / "merged"
    folder.mkdir()
    export(live, folder, "card")
    with pytest.raises(UsageError, match="merged exists and is not an empty folder"):
        export(live, folder, "other card")
    assert (folder / "README.md").read_text() == "card"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_export_leaves_nothing(live, tmp_path, monkeypatch, error):
    def interrupt(live, folder):
        assert (folder / "model.safetensors").is_file()
        raise error

    monkeypatch.setattr(module, "_verify", interrupt)
    target = tmp_path / "out"
    with pytest.raises(error):
        export(live, target / "merged", "card")
    assert list(target.iterdir()) == []


def test_a_checkpoint_with_other_numbers_is_refused(live, tmp_path, monkeypatch):
    write = module._write

    def corrupt(live, folder, card):
        write(live, folder, card)
        file = folder / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)

    monkeypatch.setattr(module, "_write", corrupt)
    with pytest.raises(RunError, match="failed its check: .* was written with other numbers"):
        export(live, tmp_path / "merged", "card")
    assert not (tmp_path / "merged").exists()
