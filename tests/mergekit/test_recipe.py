"""Converted recipes compute what mergekit's documentation says; the expected numbers are written out here."""

from __future__ import annotations

import ast

import pytest
import torch

from evolve.errors import UsageError
from evolve.mergekit.recipe import convert
from evolve.mergekit.schema import read
from evolve.plan.plan import StackEntry

BASE = "base_model: org/base\n"


def models(*entries):
    return "models: [" + ", ".join(f"{{model: org/{name}, parameters: {{{text}}}}}" for name, text in entries) + "]\n"


def close(found, expected):
    return torch.allclose(found, expected, rtol=0, atol=1e-5)


def test_weights_fall_through_the_levels_tensor_by_tensor(bench):
    text = """
merge_method: linear
slices:
- sources:
  - model: org/a
    layer_range: [0, 4]
    parameters: {weight: [{filter: up_proj, value: [1, 2]}, {filter: layers.2., value: 7}]}
  - {model: org/b, layer_range: [0, 4], parameters: {weight: 0}}
  parameters: {weight: [{filter: q_proj, value: 3}]}
parameters:
  normalize: false
  weight: [{filter: o_proj, value: 9}, {filter: "*", value: 0.25}, {filter: embed, value: 6}]
"""
    tensors = bench.tensors("a", "b")
    merged = bench.merged(text, tensors)
    expected = {
        "model.embed_tokens.weight": 0.25, "model.layers.0.self_attn.q_proj.weight": 3, "lm_head.weight": 0.25,
        "model.layers.1.self_attn.o_proj.weight": 9, "model.layers.2.self_attn.o_proj.weight": 7,
        "model.layers.2.self_attn.q_proj.weight": 7, "model.layers.0.mlp.up_proj.weight": 1,
        "model.layers.1.mlp.up_proj.weight": 4 / 3, "model.layers.3.mlp.up_proj.weight": 2,
        "model.layers.3.input_layernorm.weight": 0.25, "model.norm.weight": 0.25,
    }  # fmt: skip
    for name, factor in expected.items():
        assert close(merged[name], tensors[name]["a"] * factor), name
    assert bench.plan(text).stack is None


def test_gradients_run_over_the_slice_and_end_matrices_take_its_first_number(bench):
    text = """
merge_method: linear
slices:
- sources: [{model: org/a, layer_range: [0, 3], parameters: {weight: [0.5, 1, 5]}}]
- sources: [{model: org/a, layer_range: [3, 4], parameters: {weight: [2, 4]}}]
parameters: {normalize: false}
"""
    tensors = bench.tensors("a")
    merged = bench.merged(text, tensors)
    q = "model.layers.{}.self_attn.q_proj.weight"
    factors = {"model.embed_tokens.weight": 0.5, q.format(0): 0.5, q.format(1): 1, q.format(2): 5, q.format(3): 4}
    for name, factor in {**factors, "model.norm.weight": 2, "lm_head.weight": 2}.items():
        assert close(merged[name], tensors[name]["a"] * factor), name


def test_a_base_model_of_a_linear_merge_is_one_more_model(bench):
    text = "merge_method: linear\n" + BASE + models(("a", "weight: 1")) + "parameters: {weight: 3}\n"
    tensors = bench.tensors("base", "a")
    name = "model.norm.weight"
    expected = (3 * tensors[name]["base"] + tensors[name]["a"]) / 4
    assert close(bench.merged(text, tensors)[name], expected)


def test_normalised_task_arithmetic_divides_the_weights(bench):
    text = "merge_method: task_arithmetic\n" + BASE + models(("a", "weight: 0.3"), ("b", "weight: 0.5"))
    tensors = bench.tensors("base", "a", "b")
    name = "lm_head.weight"
    base, a, b = (tensors[name][donor] for donor in ("base", "a", "b"))
    merged = bench.merged(text + "parameters: {normalize: true, lambda: 0.5}\n", tensors)[name]
    assert close(merged, base + 0.5 * (0.375 * (a - base) + 0.625 * (b - base)))


def test_slerp_starts_at_the_base_wherever_it_stands(bench):
    tensors = bench.tensors("base", "a")
    for listed in (models(("base", ""), ("a", "")), models(("a", ""), ("base", "")), models(("a", ""))):
        merged = bench.merged("merge_method: slerp\n" + BASE + listed + "parameters: {t: 0}\n", tensors)
        assert close(merged["model.norm.weight"], tensors["model.norm.weight"]["base"])


@pytest.mark.parametrize(
    ("method", "extra", "call"),
    [
        ("ties", "", "ties(base, [a, b], weight, density=1.0)"),
        ("dare_ties", "density: 0.5", 'dare_ties(base, [a, b], weight, density=density, rescale="l1")'),
        ("dare_linear", "rescale: false", "dare_linear(base, [a, b], weight, density=1.0, rescale=False)"),
        (
            "della",
            "density: 0.5, epsilon: 0.1",
            'della(base, [a, b], weight, density=density, epsilon=2 * epsilon, rescale="l1")',
        ),
        ("breadcrumbs_ties", "", "breadcrumbs_ties(base, [a, b], weight, density=1.0, gamma=0.01)"),
        ("nuslerp", "nuslerp_flatten: false", 'nuslerp(a, b, weight / (weight + weight), base=base, along="rows")'),
        ("multislerp", "", "multislerp([a, b], weight, base=base)"),
        ("sce", "select_topk: 0.2", "sce(base, [a, b], select_topk=select_topk)"),
        ("model_stock", "filter_wise: true", "model_stock(base, [a, b], filter_wise=True)"),
        ("karcher", "max_iter: 5", "karcher([base, a, b], iterations=5)"),
    ],
)
def test_every_method_is_called_with_mergekits_switches(bench, method, extra, call):
    shared = ", ".join(part for part in ("weight: 0.6", extra) if part)
    text = f"merge_method: {method}\n" + BASE + models(("a", ""), ("b", "")) + f"parameters: {{{shared}}}\n"
    source = bench.source(text)
    assert f"return {call}\n" in source
    assert bench.plan(text).donors == ("a", "b", "base")


def test_a_frankenmerge_is_a_stack_of_donors_layers(bench):
    text = """
merge_method: passthrough
slices:
- sources: [{model: org/a, layer_range: [0, 3]}]
- sources:
  - {model: org/b, layer_range: [1, 3], parameters: {scale: [{filter: o_proj, value: 0}, {value: 1}]}}
- sources: [{model: org/a, layer_range: [3, 4]}]
"""
    plan = bench.plan(text)
    merged, a = [StackEntry("merged", layer, 1.0) for layer in (1, 2)], [StackEntry("a", n, 1.0) for n in range(4)]
    assert plan.stack == (*a[:3], *merged, a[3])
    tensors = bench.tensors("a", "b")
    made = bench.merged(text, tensors)
    assert torch.equal(made["model.layers.1.mlp.up_proj.weight"], tensors["model.layers.1.mlp.up_proj.weight"]["b"])
    assert not made["model.layers.2.self_attn.o_proj.weight"].any()
    assert torch.equal(made["lm_head.weight"], tensors["lm_head.weight"]["a"])


def test_layers_that_stay_in_place_need_no_stack(bench):
    text = "merge_method: passthrough\nslices: [{sources: [{model: org/a, layer_range: [0, 1]}]}, "
    text += "{sources: [{model: org/b, layer_range: [1, 4]}]}]"
    assert bench.plan(text).stack is None
    tensors = bench.tensors("a", "b")
    made = bench.merged(text, tensors)
    for name, donor in {"model.embed_tokens.weight": "a", "model.layers.0.input_layernorm.weight": "a",
                        "model.layers.1.input_layernorm.weight": "b", "lm_head.weight": "b"}.items():  # fmt: skip
        assert torch.equal(made[name], tensors[name][donor])


def test_a_layer_merged_in_two_ways_is_refused():
    slices = "".join(f"- sources: [{{model: a, layer_range: [0, 2], parameters: {{weight: {w}}}}}]\n" for w in (1, 2))
    with pytest.raises(UsageError, match=r"slices\[1\]\.sources\[0\]\.layer_range: layer 0 is merged in another way"):
        convert(read("merge_method: linear\nslices:\n" + slices, "x.yml"), "x.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("merge_method: ties\n" + BASE + models(("a", "")), r"models\[0\]\.parameters\.weight: it is missing"),
        ("merge_method: slerp\n" + BASE + models(("a", "t: 0.3")), r"models\.parameters\.t: it is missing"),
        (
            "merge_method: della\n" + BASE + models(("a", "weight: 1, epsilon: 0.1"), ("b", "weight: 1, epsilon: 0.2")),
            r"parameters\.epsilon: it must be the same for all models",
        ),
        (
            "merge_method: linear\n" + models(("a", "weight: 1")) + "parameters: {normalize: [0, 1]}",
            "one value for all",
        ),
        ("merge_method: multislerp\n" + models(("a", ""), ("b", "")) + "parameters: {weight: 1, eps: 0.1}", "eps"),
    ],
)
def test_what_cannot_be_said_is_one_line_with_its_path(text, said):
    with pytest.raises(UsageError, match=said):
        convert(read(text, "x.yml"), "x.yml")


def test_names_are_identifiers_and_never_collide(bench):
    paths = ("x/7B-v0.1", "y/7b v0.1", "z/merge", "z/class", "z/base", "z/リ")
    entries = ", ".join(f"{{model: {path}, parameters: {{weight: 1}}}}" for path in paths)
    text = f"merge_method: linear\nmodels: [{entries}]\n"
    donors = bench.donors(text)
    assert all(name.isidentifier() for name in donors)
    assert len(donors) == 6
    assert not {"merge", "class", "base"} & set(donors)
    assert ast.parse(bench.source(text))
    assert bench.plan(text)


def test_a_hostile_name_stays_text(bench):
    path = 'a"); import os #\\'
    weight = "[{filter: 'x\"\\', value: 1}, {value: 2}]"
    text = f"merge_method: linear\nmodels: [{{model: '{path}', parameters: {{weight: {weight}}}}}]"
    converted = convert(read(text, 'evil"""\n.yml'), 'evil"""\n.yml')
    tree = ast.parse(converted.source)
    assert list(converted.donors.values()) == [path]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


def test_bounds_always_hold_the_value(bench):
    text = "merge_method: linear\n" + models(("a", "weight: -3"), ("b", "weight: [9, 1]"))
    assert 'knob("a_weight", -3.0, low=-6.0, high=1.5)' in bench.source(text)
    assert 'knob("b_weight", [9.0, 1.0], low=-0.5, high=18.0)' in bench.source(text)
