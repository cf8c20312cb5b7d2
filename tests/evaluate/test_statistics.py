from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer

from evolve.donor_statistics import AdaMergingSpec, StatisticsSpec
from evolve.donors.donor_model import donor_model
from evolve.donors.donors import load_donors
from evolve.donors.fisher import fisher
from evolve.donors.statistics import DonorStatistics
from evolve.errors import InvalidPlan, PreparationError, UsageError
from evolve.evaluate import statistics as computing
from evolve.evaluate.merging import MergeService
from evolve.evaluate.statistics import missing, prepare_statistics
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

NAMES = ("adamerging", "fisher", "gram")
RECIPE = """
def merge(site, base, ja):
    f, g = site.stat("fisher", "base") + 1e-6, site.stat("fisher", "ja") + 1e-6
    merged = (f * base + g * ja) / (f + g)
    if site.role == "q_proj":
        merged = merged @ site.stat("gram", "ja")
    return merged + site.stat("adamerging", "ja") * (ja - base)
"""


def _spec(folder):
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("abc def", "1+2=3", "ghi")))
    return StatisticsSpec(str(path), adamerging=AdaMergingSpec(steps=2, batch=2))


def _statistics(folder, paths, **changes):
    donors = load_donors(paths)
    spec = replace(_spec(folder), **changes)
    return DonorStatistics(donors, AutoTokenizer.from_pretrained(donors["base"].path), spec)


@pytest.fixture
def statistics(workshop, tmp_path):
    return _statistics(tmp_path, workshop.donors("llama", "base", "ja"))


def _prepare(statistics, names=NAMES):
    steps, written = [], []
    prepare_statistics(statistics, names, "cpu", lambda *step: steps.append(step), written.append)
    return steps, written


def test_what_is_missing_is_made_once(statistics):
    threads = torch.get_num_threads()
    steps, written = _prepare(statistics, ["fisher"])
    assert [path.name.split("-")[0] for path in written] == ["fisher", "fisher"]
    assert statistics.names("base") == statistics.names("ja") == ("fisher",)
    assert steps == [("fisher", n, 6) for n in range(1, 7)]
    _, written = _prepare(statistics)
    assert [path.name.split("-")[0] for path in written] == ["adamerging", "gram", "gram"]
    assert statistics.names("base") == ("fisher", "gram")
    assert statistics.names("ja") == NAMES
    assert _prepare(statistics) == ([], [])
    assert torch.get_num_threads() == threads


def test_every_site_can_be_read_with_its_shape(statistics):
    _prepare(statistics)
    for site in statistics.donors.sites:
        assert statistics("ja", "fisher", site.name).shape == site.shape
        assert statistics("ja", "adamerging", site.name).shape == ()
        if site.role.endswith("_proj"):
            found = statistics("ja", "gram", site.name)
            assert found.shape == (site.shape[1], site.shape[1])
            assert float(found.trace()) > 0


def test_a_file_that_is_lost_is_made_again_alone(statistics):
    _, written = _prepare(statistics, ["gram"])
    before = written[0].read_bytes()
    written[0].unlink()
    assert missing(statistics, "gram") == ["base"]
    assert _prepare(statistics, ["gram"])[1] == [written[0]]
    assert written[0].read_bytes() == before


def test_two_at_once_make_each_file_once(workshop, tmp_path):
    # file locks belong to the opened file, so threads exclude each other as processes do
    paths = workshop.donors("llama", "base", "ja")
    both = [_statistics(tmp_path, paths) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        written = list(pool.map(lambda statistics: len(_prepare(statistics, ["gram"])[1]), both))
    assert sum(written) == 2
    assert missing(both[0], "gram") == []


def test_each_donor_is_measured_on_its_own_texts(workshop, tmp_path, statistics):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "zyx wvu"}) + "\n")
    texts = {"base": statistics.spec.texts, "ja": str(other)}
    own = _statistics(tmp_path, workshop.donors("llama", "base", "ja"), texts=texts, unlabelled=texts["base"])
    _prepare(statistics)
    assert own.names("base") == ("fisher", "gram")  # the same texts as before, the same files
    assert own.names("ja") == ("adamerging",)
    steps, _ = _prepare(own)
    assert steps == [("fisher", 1, 1), ("gram", 1, 1)]
    site = own.donors.sites[1]
    expected = dict(fisher(donor_model(own.donors["ja"], own.donors, "cpu"), own.texts["ja"], [site], lambda *_: None))
    assert torch.equal(own("ja", "fisher", site.name), expected[site.name])
    assert not torch.equal(own("ja", "fisher", site.name), statistics("ja", "fisher", site.name))


def test_too_small_a_disk_or_memory_is_said_first(statistics, monkeypatch):
    usage = shutil.disk_usage(statistics.donors["base"].path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(PreparationError, match=r"gram of 2 donors needs .* on disk, 0\.0 GB are free .*EVOLVE_CACHE"):
        _prepare(statistics, ["gram"])
    monkeypatch.undo()
    monkeypatch.setattr(computing, "available_bytes", lambda: 1000)
    with pytest.raises(PreparationError, match="adamerging needs about .* of memory on cpu"):
        _prepare(statistics, ["adamerging"])
    assert statistics.names("ja") == ()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_said(statistics):
    with pytest.raises(UsageError, match="device 'cuda' was asked for"):
        prepare_statistics(statistics, ["gram"], "cuda", lambda *_: None, lambda _: None)


@pytest.fixture
def setup(problem, tmp_path):
    return problem(statistics=_spec(tmp_path).to_dict())


def _plan(ready):
    sites = [Site.from_dict(site) for site in ready["sites"]]
    infos = {name: DonorInfo(facts["layers"], tuple(facts["statistics"])) for name, facts in ready["donors"].items()}
    return trace(RECIPE, sites, infos).plan


def test_a_worker_tells_what_is_prepared_and_executes_it(setup, tmp_path):
    assert MergeService(setup).ready()["donors"]["ja"]["statistics"] == []
    statistics = _statistics(tmp_path, setup["donors"])
    _prepare(statistics)
    service = MergeService(setup)
    ready = service.ready()
    assert ready["donors"]["ja"]["statistics"] == list(NAMES)
    assert ready["donors"]["base"]["statistics"] == ["fisher", "gram"]
    plan = _plan(ready)
    service.evaluate({"plan": plan.to_dict(), "split": "search"})
    name = "model.layers.1.self_attn.q_proj.weight"
    base, ja = (statistics.donors[donor].tensors[name] for donor in ("base", "ja"))
    f, g = (statistics(donor, "fisher", name) + 1e-6 for donor in ("base", "ja"))
    expected = ((f * base + g * ja) / (f + g)) @ statistics("ja", "gram", name)
    expected = expected + statistics("ja", "adamerging", name) * (ja - base)
    torch.testing.assert_close(service._live.model.get_parameter(name).detach(), expected)


def test_a_worker_refuses_statistics_that_its_texts_have_not(setup, tmp_path):
    _prepare(_statistics(tmp_path, setup["donors"]))
    plan = _plan(MergeService(setup).ready()).to_dict()
    other = {**setup, "statistics": {**setup["statistics"], "items": 1}}
    with pytest.raises(InvalidPlan, match="not prepared; run `evolve donors PROBLEM --prepare`"):
        MergeService(other).check_plan({"plan": plan})


def test_texts_that_are_missing_are_a_note(setup):
    setup["statistics"]["texts"] = "nowhere.jsonl"
    ready = MergeService(setup).ready()
    assert ready["donors"]["ja"]["statistics"] == []
    assert any("no donor statistics: the texts for statistics are missing" in note for note in ready["notes"])
