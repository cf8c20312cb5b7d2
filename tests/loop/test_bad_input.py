from __future__ import annotations

import json
import shutil

import pytest

from evolve.store import queries

SEED = """
import torch

from evolve.methods import task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
{body}
# EVOLVE-BLOCK-END
"""

BROKEN_RECIPES = {
    "syntax": ("def merge(site, base:\n    return base", "syntax", "line"),
    "shape": ("def merge(site, base):\n    return base.flatten()", "shape", "shape"),
    "unsupported": ("def merge(site, base):\n    return torch.fft.fft(base)", "unsupported", "fft"),
    "tensor_if": (
        "def merge(site, base):\n    return base if base.sum() > 0 else -base",
        "value_dependence",
        "torch.where",
    ),
    "endless": ("def merge(site, base):\n    while True:\n        pass", "timeout", "6 s"),
    "memory": ("def merge(site, base):\n    x = bytearray(10 * 2**30)\n    return base", "memory", "memory"),
    "donor": ("def merge(site, base, frist):\n    return base", "recipe", "first"),
    "nothing": ("def merge(site, base):\n    pass", "recipe", "None"),
}


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_broken_recipes_are_recorded_with_their_reason_and_the_run_goes_on(terminal):
    for name, (body, _, _) in BROKEN_RECIPES.items():
        (terminal.folder / "merge" / "seeds" / f"broken_{name}.py").write_text(SEED.format(body=body))
    terminal.run("run", "merge", "--evaluations", "6", "--name", "m", "--set", "sandbox.wall_s=6")
    with terminal.reading("m") as connection:
        rows = {row["seed_name"]: row for row in queries.programs(connection, order="oldest") if row["seed_name"]}
    for name, (_, reason, said) in BROKEN_RECIPES.items():
        row = rows[f"broken_{name}"]
        assert (row["state"], row["reason"]) == ("failed", reason), row
        assert said in row["message"], row["message"]
    assert terminal.summary("m")["evaluations"] == 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("error = float(", "raise KeyError('oops')\n    error = float(", ["evaluate.py", "KeyError", "oops"]),
        ("score=1 / (1 + error)", "score=float('nan')", ["score = nan", "finite"]),
        ("    return Evaluation(", "    return 3\n    Evaluation(", ["int", "Evaluation"]),
        ("from evolve.evaluation", "from evolve.evaluations", ["evaluate.py", "evolve.evaluations"]),
        ('features={"source_length"', 'features={"source_size"', ["source_length"]),
    ],
)
def test_a_wrong_evaluator_is_named_and_stops_the_run(terminal, old, new, said):
    replaced(terminal.folder / "program" / "evaluate.py", old, new)
    done = terminal.run("run", "program", "--evaluations", "5", "--name", "p", status=1)
    assert all(word in done.stdout + done.stderr for word in said), done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_donor_is_one_clear_line_and_leaves_no_run(terminal):
    done = terminal.run("run", "merge", "--donor", "second=nowhere/at-all", "--name", "m", status=1)
    assert "second" in done.stderr
    assert "nowhere/at-all" in done.stderr
    assert "--donor" in done.stderr or "problem.toml" in done.stderr
    assert not (terminal.runs / "m").exists()


def test_donors_of_different_shapes_are_named(terminal, cache):
    terminal.run("run", "merge", "--evaluations", "1", "--name", "m")
    source = next(cache.glob("merge/*/second"))
    other = terminal.folder / "other"
    shutil.copytree(source, other)
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name][:-2].contiguous()
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    done = terminal.run("run", "merge", "--donor", f"second={other}", "--name", "n", status=1)
    for word in ("second", name, "64", "62"):
        assert word in done.stderr, done.stderr
    assert not (terminal.runs / "n").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(terminal):
    done = terminal.run("run", "program", "--runs", "/proc/runs", status=1)
    assert done.stderr.startswith("error: ")
    assert "/proc/runs" in done.stderr


def test_a_name_in_use_is_refused(terminal):
    terminal.run("run", "program", "--evaluations", "2", "--name", "p")
    assert "exists already" in terminal.run("run", "program", "--name", "p", status=1).stderr


def test_a_damaged_run_is_listed_with_its_error(terminal):
    terminal.run("run", "program", "--evaluations", "2", "--name", "p")
    (terminal.runs / "bad").mkdir()
    (terminal.runs / "bad" / "evolve.db").write_text("this is no database at all, only text" * 100)
    rows = {row["id"]: row for row in json.loads(terminal.run("ls", "-f", "json").stdout)}
    assert rows["p"]["state"] == "finished"
    assert "not a database" in rows["bad"]["error"]
    assert "not a database" in terminal.run("resume", "bad", status=1).stderr
