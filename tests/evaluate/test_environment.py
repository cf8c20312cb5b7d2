from __future__ import annotations

import os
from pathlib import Path

import pytest

from evolve.evaluate import environment
from evolve.evaluate.environment import available_bytes, devices, gpus, inherited, worker_environment, workers


def test_keys_of_other_services_are_not_handed_on():
    given = {
        "OPENAI_API_KEY": "x", "GITHUB_TOKEN": "x", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "DB_PASSWORD": "x", "ANTHROPIC_APIKEY": "x", "SOME_SECRET": "x", "openai_api_key": "x",
        "HF_TOKEN": "hub", "HF_HOME": "/hub", "PATH": "/bin", "EVOLVE_CACHE": "/cache", "TOKENIZERS_PARALLELISM": "1",
        "KEYBOARD": "us",
    }  # fmt: skip
    kept = inherited(given)
    kept.pop("PYTHONPATH", None)
    names = {"HF_TOKEN", "HF_HOME", "PATH", "EVOLVE_CACHE", "TOKENIZERS_PARALLELISM", "KEYBOARD"}
    assert kept == {name: given[name] for name in names}


def test_a_source_tree_comes_first_on_the_import_path():
    kept = inherited({"PYTHONPATH": "/mine"})
    assert kept["PYTHONPATH"].split(os.pathsep)[-1] == "/mine"


def test_workers_get_their_threads():
    variables = worker_environment(3)
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "3"


def test_devices_follow_the_visible_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert gpus() == devices("auto") == devices("cuda") == ["cuda:0", "cuda:1"]
    assert devices("cuda:1") == ["cuda:1"]
    assert devices("cpu") == ["cpu"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices("auto") == ["cpu"]
    assert devices("cuda") == ["cuda:0"]


def test_as_many_workers_as_cores_and_memory_allow(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    setup = {"kind": "merge", "device": "auto", "donors": {"base": str(tmp_path), "ja": "org/not-here"}, "threads": 1}
    monkeypatch.setattr(environment, "available_bytes", lambda: 100 * 2**30)
    assert workers(setup) == 8
    assert workers({**setup, "threads": 3}) == 2
    monkeypatch.setattr(environment, "available_bytes", lambda: 3 * (600 * 2**20 + 2000))
    assert workers(setup) == 3
    snapshot = tmp_path / "hub" / "models--org--there" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"0" * 2**20)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(environment, "available_bytes", lambda: 3 * 600 * 2**20 + 2**21)
    assert workers({**setup, "donors": {"base": "org/there@main"}}) == 2
    monkeypatch.setattr(environment, "available_bytes", lambda: 0)
    assert workers(setup) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert workers(setup) == 3
    assert workers({**setup, "kind": "program"}) == 1


def test_adapters_count_with_their_factors_and_aligned_donors_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, size in (("model", 2**20), ("adapter_model", 2**10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.safetensors").write_bytes(b"0" * size)
    donors = {
        "base": str(tmp_path / "model"),
        "ja": {"adapter": str(tmp_path / "adapter_model"), "on": "base"},
        "same": {"align": "base", "to": "base"},
    }
    need = 600 * 2**20 + 2 * (2 * 2**20 + 2**10)
    for free, count in ((3 * need, 3), (3 * need - 1, 2)):
        monkeypatch.setattr(environment, "available_bytes", lambda free=free: free)
        assert workers({"kind": "merge", "device": "cpu", "donors": donors}) == count


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="needs Linux")
def test_available_memory_is_read():
    assert 2**20 < available_bytes() < 2**50
