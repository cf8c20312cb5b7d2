"""The example of the README: a mergekit configuration is improved by a run and written back."""

from __future__ import annotations

import pytest

from evolve.mergekit.schema import read

YAML = """
merge_method: dare_ties
base_model: {0}/base
models:
- model: {0}/first
  parameters: {{weight: 0.6, density: 0.7}}
- model: {0}/second
  parameters: {{weight: 0.5, density: [0.9, 0.5]}}
dtype: float32
"""


def test_a_configuration_is_improved_and_written_back(terminal):
    (terminal.folder / "merge.yml").write_text(YAML.format("models"))
    said = terminal.run("import", "merge.yml", "--problem", "merge").stdout
    assert "seeds/merge.py, dare_ties of base, first, second" in said
    terminal.run("run", "merge", "--evaluations", 8, "--plain", "--workers", 1, "--name", "run")
    with terminal.reading("run") as connection:
        rows = connection.execute("SELECT id, description, state FROM programs ORDER BY id").fetchall()
    (seed,) = [row["id"] for row in rows if row["description"] == "seed merge"]
    assert "gives the same plan" in terminal.run("export", seed, "--run", "run", "--mergekit", "back.yml").stdout
    found = read((terminal.folder / "back.yml").read_text(), "back.yml")
    assert found.method == "dare_ties"
    assert [rule.value for rule in found.slices[0].sources[1].parameters["density"]] == [(0.9, 0.5)]


@pytest.mark.slow
def test_a_new_problem_around_a_configuration_runs(terminal):
    terminal.run("run", "merge", "--evaluations", 3, "--plain", "--workers", 1, "--name", "run")
    terminal.run("export", "1", "--run", "run", "--mergekit", "one.yml")
    terminal.run("import", "one.yml", "--problem", "mine")
    terminal.run("run", "mine", "--evaluations", 3, "--plain", "--workers", 1, "--name", "second")
    assert terminal.summary("second")["evaluations"] == 3
