"""The worker's side of merges, in this process."""

from __future__ import annotations

import resource

import pytest
import torch
from safetensors.torch import save_file

from evolve.errors import RunError
from evolve.evaluate.merging import MergeService


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_provenance_comes_with_the_search_split_and_changes_no_score(problem, mix, tmp_path):
    setup = problem()
    setup["splits"]["validation"] = setup["splits"]["search"]
    measuring, plain = MergeService({**setup, "provenance": True}), MergeService({**setup, "provenance": False})
    stack = [("merged", 0, 1.0), ("ja", 1, -2.0), ("merged", 2, 1.0)]
    for weights, layers in (({"base": 0.5, "ja": 0.5}, None), ({"base": 0.25, "ja": 0.75}, stack)):
        plan = mix(measuring._live.sites, weights, layers).to_dict()
        request = {"plan": plan, "split": "search"}
        first, second, bare = measuring.evaluate(request), measuring.evaluate(request), plain.evaluate(request)
        assert first.evaluation == second.evaluation == bare.evaluation
        assert first.provenance == second.provenance
        assert first.phases.keys() == {"merge", "provenance", "evaluate"}
        assert (bare.provenance, bare.phases.keys()) == (None, {"merge", "evaluate"})
        found = {place["layer"]: place["donors"]["ja"] for place in first.provenance["places"]}
        assert found[0]["coefficient"] == pytest.approx(weights["ja"], abs=1e-5)
        assert found[1]["coefficient"] == pytest.approx(weights["ja"] if layers is None else 1.0, abs=1e-5)
        assert measuring.evaluate({**request, "split": "validation"}).provenance is None


def test_a_single_donor_has_no_provenance(problem, mix):
    setup = problem(provenance=True)
    del setup["donors"]["ja"]
    service = MergeService(setup)
    request = {"plan": mix(service._live.sites, {"base": 0.5}).to_dict(), "split": "search"}
    assert service.evaluate(request).provenance is None


def test_donors_of_every_kind_in_a_united_vocabulary(problem, mix, tmp_path):
    setup = problem(vocabulary="union", tokens={"a": "ja"})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 2}')
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    save_file({f"{name}A.weight": torch.ones(1, 32), f"{name}B.weight": torch.ones(48, 1)},
              adapter / "adapter_model.safetensors")  # fmt: skip
    setup["donors"] |= {"lora": {"adapter": str(adapter), "on": "base"}, "aligned": {"align": "ja", "to": "base"}}
    service = MergeService(setup)
    assert set(service.ready()["donors"]) == {"base", "ja", "lora", "aligned"}
    request = {
        "plan": mix(service._live.sites, {"lora": 1.0, "base": -0.5, "aligned": 0.5}).to_dict(),
        "split": "search",
    }
    assert len(service.evaluate(request).evaluation.outcomes) == 3
    donors, site = service._live.donors, "model.layers.0.mlp.up_proj.weight"
    expected = 0.5 * donors["base"].tensors[site] + 2.0 + 0.5 * donors["aligned"].tensors[site]
    torch.testing.assert_close(service._live.model.get_parameter(site), expected)
    service.export({**request, "folder": str(tmp_path / "out")})
    assert service._live.tokenizer_folder == donors.tokenizer != donors["base"].path


def test_an_export_that_cannot_be_written_is_one_line_and_leaves_nothing(problem, mix, tmp_path):
    service = MergeService(problem())
    plan = mix(service._live.sites, {"base": 0.5, "ja": 0.5}).to_dict()
    target = tmp_path / "models" / "merged"
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size_bytes in (100, 20_000):  # the configuration does not fit, the weights do not fit
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, unlimited[1]))
        try:
            with pytest.raises(
                RunError, match="merged cannot be written: .*File too large.*; check the disk"
            ) as caught:
                service.export({"plan": plan, "folder": str(target)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert "\n" not in str(caught.value)
        assert list(target.parent.iterdir()) == []
    assert service.export({"plan": plan, "folder": str(target)}) == {"folder": str(target)}
