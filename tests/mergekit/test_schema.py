from __future__ import annotations

import pytest

from evolve.errors import UsageError
from evolve.mergekit.schema import read

LINEAR = "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: 2}}\n"


def test_levels_filters_and_gradients_are_read():
    found = read(
        "merge_method: ties\nbase_model: org/base\nmodels:\n- model: org/a\n  parameters:\n    density: [1, 0.5]\n"
        "    weight:\n    - {filter: mlp, value: 0.5}\n    - value: 1e-8\n"
        "parameters: {int8_mask: true, lambda: 0.3, t: 1}\n"
        "dtype: float32\nout_dtype: bfloat16\ntokenizer_source: model:org/a\n",
        "x.yml",
    )
    (source,) = found.slices[0].sources
    assert source.parameters["density"][0].value == (1.0, 0.5)
    assert [(rule.filter, rule.value) for rule in source.parameters["weight"]] == [("mlp", 0.5), (None, 1e-8)]
    assert set(found.parameters) == {"lambda"}
    assert (found.dtype, found.tokenizer, found.models) == ("bfloat16", "org/a", ["org/base", "org/a"])


def test_entries_after_one_for_everything_are_never_used():
    text = LINEAR.replace("weight: 2", "weight: [{filter: '*', value: 3}, {filter: mlp, value: 4}]")
    assert [rule.value for rule in read(text, "x.yml").slices[0].sources[1].parameters["weight"]] == [3]


def test_a_single_module_is_the_merge():
    assert read(
        "merge_method: linear\nmodules:\n  text: {models: [{model: a, parameters: {weight: 1}}]}", "x"
    ).models == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("merge_method: [linear", r"x\.yml line \d+: no YAML"),
        ("merge_method: linear\n\tmodels: 3", r"x\.yml line 2: no YAML"),
        ("- linear", r"the document: it must be a table of keys"),
        ("merge_method: teis\nmodels: []", r"merge_method: evolve has no method 'teis'; did you mean 'ties'"),
        (LINEAR + "modls: 1", r"x\.yml: modls: unknown key; did you mean 'models'"),
        (LINEAR.replace("weight: 2", "wieght: 2"), r"models\[1\]\.parameters\.wieght: unknown .* mean 'weight'"),
        (LINEAR.replace("weight: 2", "weight: high"), r"models\[1\]\.parameters\.weight: 'high' is no number"),
        (LINEAR.replace("weight: 2", "weight: [0.1, x]"), r"models\[1\]\.parameters\.weight\[1\]: 'x' is no number"),
        (LINEAR.replace("weight: 2", "weight: [{filter: mlp}]"), r"weight\[0\]\.value: it is missing"),
        (LINEAR.replace("weight: 2", "weight: .inf"), r"weight: inf is no number"),
        (LINEAR.replace("model: b", "model: b+lora"), r"models\[1\]\.model: 'b\+lora' puts a LoRA adapter"),
        (LINEAR.replace("model: b", "model: a"), r"models: a model is named twice"),
        (LINEAR.replace("linear", "ties"), r"base_model: ties needs one"),
        (LINEAR.replace("linear", "slerp") + "base_model: c", r"models: 3 models; slerp takes 2"),
        (LINEAR.replace("linear", "model_stock") + "base_model: a", r"models: 1 models besides the base; model_stock"),
        (LINEAR + "slices: []", r"give either models or slices"),
        (LINEAR + "chat_template: chatml", r"chat_template: it belongs to the tokenizer"),
        (LINEAR + "dtype: int8", r"dtype: 'int8' is none of"),
        (LINEAR + "tokenizer: {source: a, tokens: {x: y}}", r"tokenizer\.tokens: "),
        ("base_model: a\nexperts: []\ngate_mode: random", r"experts: a mixture of experts"),
        ("merge_method: linear\nmodules: {a: {}, b: {}}", r"modules: 2 modules"),
        ("a: 1\n---\nb: 2", r"x\.yml line 2: no YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_its_path(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        read(text, "x.yml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        (
            "[{sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [1, 3]}]}]",
            r"sources\[1\]\.layer_range",
        ),
        ("[{sources: [{model: a}]}]", r"slices\[0\]\.sources\[0\]\.layer_range: None is no"),
        ("[{sources: [{model: a, layer_range: [2, 2]}]}]", r"layer_range: \[2, 2\] is no"),
        ("[{sources: []}]", r"slices\[0\]\.sources: it must be a list"),
        ("[{sorces: []}]", r"slices\[0\]\.sorces: unknown key; did you mean 'sources'"),
    ],
)
def test_slices_are_checked(slices, said):
    with pytest.raises(UsageError, match=said):
        read(f"merge_method: linear\nslices: {slices}", "x.yml")


def test_the_base_must_be_in_each_slice():
    text = "merge_method: ties\nbase_model: base\nslices: [{sources: [{model: a, layer_range: [0, 2]}]}]"
    with pytest.raises(UsageError, match=r"slices\[0\]\.sources: base_model base must be among them"):
        read(text, "x.yml")
