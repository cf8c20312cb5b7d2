from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from evolve.errors import RunError
from evolve.merge.writer import ShardedWriter, TensorFile

SHAPES = {"a": (4, 3), "b": (7,), "c": (2, 2, 2), "d": (100,)}


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def written(folder, dtype=torch.float32, shard_bytes=10**9, order=tuple(SHAPES)):
    made = tensors()
    with ShardedWriter(folder, SHAPES, dtype, shard_bytes) as writer:
        for name in order:
            writer.write(name, made[name])
        writer.verify()
    return made, writer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("order", ["abcd", "dbca"])
def test_what_was_written_in_any_order_is_read_by_safetensors(tmp_path, dtype, order):
    made, _ = written(tmp_path, dtype, order=order)
    found = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.shape for name, tensor in found.items()} == SHAPES
    assert all(torch.equal(found[name], made[name].to(dtype)) for name in SHAPES)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as handle:
        assert handle.metadata() == {"format": "pt"}


def test_shards_stay_below_their_size_and_are_listed(tmp_path):
    made, writer = written(tmp_path, shard_bytes=80)
    assert writer.names == [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in made.values())
    found = {}
    for file in writer.names:
        part = load_file(tmp_path / file)
        assert sum(tensor.nbytes for tensor in part.values()) <= 80 or len(part) == 1
        assert all(index["weight_map"][name] == file for name in part)
        found |= part
    assert all(torch.equal(found[name], made[name]) for name in SHAPES)


def test_other_bytes_on_the_disk_are_noticed(tmp_path):
    made = tensors()
    with ShardedWriter(tmp_path, SHAPES, torch.float32, 10**9) as writer:
        for name, tensor in made.items():
            writer.write(name, tensor)
        writer.verify()
        with (tmp_path / "model.safetensors").open("r+b") as file:
            file.seek(-2, 2)
            file.write(b"\xff")
        with pytest.raises(RunError, match="d holds other numbers than computed"):
            writer.verify()


def test_a_tensor_that_was_never_written_is_noticed(tmp_path):
    with ShardedWriter(tmp_path, SHAPES, torch.float32, 10**9) as writer:
        writer.write("a", tensors()["a"])
        with pytest.raises(RunError, match="b holds other numbers"):
            writer.verify()


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    with (
        ShardedWriter(tmp_path, SHAPES, torch.float32, 10**9) as writer,
        pytest.raises(ValueError, match="does not fit"),
    ):
        writer.write("a", torch.zeros(3, 4))


def test_first_rows_are_read_without_the_rest(tmp_path):
    made, _ = written(tmp_path, torch.bfloat16)
    file = TensorFile(tmp_path / "model.safetensors")
    assert torch.equal(file.read("a", (2, 3)), made["a"][:2].bfloat16())
    with pytest.raises(RunError, match="a in .* has shape"):
        file.read("a", (5, 3))
