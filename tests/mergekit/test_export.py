"""From YAML to a plan and back: what comes out, when imported again, is the same plan."""

from __future__ import annotations

import pytest
import torch

from evolve.errors import UsageError
from evolve.mergekit.export import export
from evolve.mergekit.schema import read
from evolve.recipe.eager import eager

BASE = "base_model: org/base\n"
PATHS = {name: f"org/{name}" for name in ("base", "a", "b", "c")}


def models(*entries):
    return "models: [" + ", ".join(f"{{model: org/{name}, parameters: {{{text}}}}}" for name, text in entries) + "]\n"


def task(method, extra="", shared="", count=3):
    entries = list(zip("abc", (0.6, -0.7, 0.4), strict=True))[:count]
    listed = models(*((name, f"weight: {weight}{extra}") for name, weight in entries))
    return f"merge_method: {method}\n{BASE}{listed}" + (f"parameters: {{{shared}}}\n" if shared else "")


SLICED = """
merge_method: slerp
base_model: org/a
slices:
- sources: [{model: org/a, layer_range: [0, 3]}, {model: org/b, layer_range: [0, 3]}]
  parameters: {t: [0, 0.5, 0.9]}
- sources: [{model: org/a, layer_range: [3, 4]}, {model: org/b, layer_range: [3, 4]}]
parameters: {t: [{filter: self_attn, value: [0.1, 0.5, 0.9]}, {value: 0.4}]}
"""
FRANKEN = """
merge_method: passthrough
slices:
- sources: [{model: org/a, layer_range: [0, 3]}]
- sources: [{model: org/b, layer_range: [1, 3], parameters: {scale: [{filter: o_proj, value: 0}, {value: 0.5}]}}]
- sources: [{model: org/a, layer_range: [3, 4]}]
"""
OTHERS = """
merge_method: task_arithmetic
base_model: org/base
slices:
- sources:
  - {model: org/base, layer_range: [0, 2]}
  - {model: org/a, layer_range: [0, 2], parameters: {weight: [0.3, 0.9]}}
  - {model: org/b, layer_range: [0, 2], parameters: {weight: 0.2}}
- sources: [{model: org/base, layer_range: [2, 4]}, {model: org/c, layer_range: [2, 4]}]
  parameters: {weight: 0.8}
"""
DEEPER = """
merge_method: linear
slices:
- sources: [{model: org/a, layer_range: [0, 3]}, {model: org/b, layer_range: [0, 3]}]
- sources: [{model: org/a, layer_range: [1, 4]}, {model: org/b, layer_range: [1, 4]}]
parameters: {weight: 0.5, normalize: false}
"""
CASES = {
    "linear": "merge_method: linear\n"
    + models(("a", "weight: [0.5, 1, 5]"), ("b", "weight: [{filter: mlp, value: 3}, {value: 1}]")),
    "linear with base": "merge_method: linear\n" + BASE + models(("a", "weight: 0.3")) + "parameters: {weight: 0.7}\n",
    "slerp": "merge_method: slerp\n" + BASE + models(("a", ""))
    + "parameters: {t: [{filter: self_attn, value: [0, 0.5, 0.3]}, {filter: mlp, value: [1, 0.2]}, {value: 0.4}]}\n",
    "slices": SLICED,
    "task_arithmetic": task("task_arithmetic", shared="lambda: 0.7"),
    "weights of one": task("task_arithmetic").replace("0.6", "1"),
    "normalised": task("task_arithmetic", shared="normalize: true", count=2),
    "ties": task("ties", ", density: 0.5"),
    "ties, graded": task("ties", ", density: [1, 0.4, 0.6]", "normalize: false, lambda: 1.3"),
    "ties, mixed": "merge_method: ties\n" + BASE
    + models(("a", "weight: 1, density: [{filter: mlp, value: 0.5}, {value: 1}]"), ("b", "weight: 0.5, density: 0.25")),
    "dare_linear": task("dare_linear", ", density: 0.5"),
    "dare_ties": task("dare_ties", ", density: 0.3", "normalize: true, rescale: false"),
    "della": task("della", ", density: 0.6", "epsilon: 0.2"),
    "della_linear": task("della_linear", ", density: 0.5"),
    "breadcrumbs": task("breadcrumbs", ", density: 0.7, gamma: 0.1"),
    "breadcrumbs_ties": task("breadcrumbs_ties", ", density: 0.6, gamma: 0.05", "normalize: true"),
    "sce": "merge_method: sce\n" + BASE + models(("a", ""), ("b", "")) + "parameters: {select_topk: 0.4}\n",
    "model_stock": "merge_method: model_stock\n" + BASE
    + models(("a", ""), ("b", "")) + "parameters: {filter_wise: true}\n",
    "nearswap": "merge_method: nearswap\n" + BASE + models(("a", "")) + "parameters: {t: 0.002}\n",
    "arcee_fusion": "merge_method: arcee_fusion\n" + BASE + models(("a", "")),
    "nuslerp": "merge_method: nuslerp\n" + models(("a", "weight: 0.6"), ("b", "weight: 0.7")),
    "nuslerp of task vectors": task("nuslerp", shared="nuslerp_flatten: false", count=2).replace("-0.7", "0.7"),
    "multislerp": task("multislerp"),
    "karcher": "merge_method: karcher\n" + models(("a", ""), ("b", "")),
    "passthrough": "merge_method: passthrough\nmodels: [{model: org/a}]\n",
    "frankenmerge": FRANKEN,
    "deeper": DEEPER,
    "slices of other models": OTHERS,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_comes_back_as_the_same_plan(bench, layers, name):
    plan = bench.plan(CASES[name])
    exported = export(plan, layers, bench.donors(CASES[name]))
    assert exported.exact
    assert bench.plan(exported.text).digest == plan.digest


def test_gradients_and_filters_come_back_as_they_were_written(bench, layers):
    text = export(bench.plan(CASES["slerp"]), layers, bench.donors(CASES["slerp"])).text
    rules = read(text, "x").parameters["t"]
    assert [(rule.filter, rule.value) for rule in rules] == [
        ("self_attn", (0.0, 0.5, 0.3)), ("mlp", (1.0, 0.2)), (None, 0.4)
    ]  # fmt: skip


def test_the_stored_dtype_is_what_results_are_rounded_to(bench, layers):
    text = export(bench.plan(CASES["ties"]), layers, PATHS, "bfloat16").text
    assert "dtype: float32\nout_dtype: bfloat16" in text


def test_knobs_that_a_run_has_tuned_are_written(bench, layers):
    source = bench.source(CASES["ties"]).replace('"a_density", 0.5,', '"a_density", 0.8412347,')
    plan = bench.trace(source, "base", "a", "b", "c")
    exported = export(plan, layers, PATHS)
    assert exported.exact
    assert read(exported.text, "x").slices[0].sources[0].parameters["density"][0].value != 0.5


FREE = """
def merge(site, base, a, b):
    if site.block == "embedding":
        return a
    return base + (1 - site.depth) * (a - base) + 0.6 * (b - base) / 2
"""


def test_sums_in_another_form_become_a_linear_merge_with_the_same_weights(bench, layers):
    exported = export(bench.trace(FREE, "base", "a", "b"), layers, PATHS)
    assert not exported.exact
    assert exported.text.startswith("# The sums of the recipe in another order")
    tensors = bench.tensors("base", "a", "b")
    merged = bench.merged(exported.text, tensors)
    for site in bench.sites:
        assert torch.allclose(merged[site.name], eager(FREE, site, tensors[site.name]), rtol=0, atol=1e-5), site.name


def test_a_stack_with_a_donors_raw_layer_equals_one_that_passes_it_through(bench, layers):
    source = "def merge(site, a):\n    return a\n\n\ndef stack(donors):\n"
    source += '    return [("merged", 0), ("a", 1), ("merged", 1), ("b", 2), ("merged", 3)]\n'
    exported = export(bench.trace(source, "a", "b"), layers, PATHS)
    assert exported.exact
    ranges = [(s.sources[0].model, s.sources[0].layers) for s in read(exported.text, "x").slices]
    assert ranges == [("org/a", (0, 2)), ("org/a", (1, 2)), ("org/b", (2, 3)), ("org/a", (3, 4))]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def merge(site, base, a):\n    return base if site.block == 'embedding' else (a - base).abs() + base\n",
            r"model\.layers\.0\.self_attn\.q_proj\.weight is computed by none of mergekit's methods from base, a",
        ),
        (
            "from evolve.methods import ties, slerp\n\n\ndef merge(site, base, a):\n"
            "    return slerp(base, a, 0.5) if site.block == 'mlp' else ties(base, [a], density=0.5)\n",
            r"mlp\.up_proj\.weight is slerp of base, a, model\.embed_tokens\.weight is ties of base, a; mergekit has",
        ),
        (
            "from evolve.methods import dare_linear\ndef merge(site, base, a): return dare_linear(base, [a])",
            r"random masks only those with rescale=\"l1\" are mergekit's",
        ),
        (
            "def merge(site, a): return a\ndef stack(donors): return [('merged', 0), ('merged', 1, 0.5)]",
            r"layer 1 of the stack scales its input by 0\.5, mergekit has no such thing",
        ),
        (
            "def gather(site, a): return {'n': a.abs().sum()}\ndef merge(site, a, totals): return a / totals['n']",
            r"is made from a total over the whole model",
        ),
    ],
)
def test_what_mergekit_cannot_do_is_one_line_that_names_the_site(bench, layers, source, said):
    with pytest.raises(UsageError, match=said):
        export(bench.trace(source, "base", "a"), layers, PATHS)
