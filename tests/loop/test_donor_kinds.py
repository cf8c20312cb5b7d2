"""A whole run on an aligned donor and a union of vocabularies."""

from __future__ import annotations

from transformers import AutoTokenizer


def test_a_run_on_an_aligned_donor_in_a_united_vocabulary(terminal, tmp_path):
    toml = tmp_path / "merge" / "problem.toml"
    text = toml.read_text().replace('prepare = "donors.py"', 'prepare = "donors.py"\nvocabulary = "union"')
    text = text.replace('/second"', '/second"\nmatched = { align = "second", to = "base" }')
    assert text.count("matched") == 1
    toml.write_text(text)
    seed = tmp_path / "merge" / "seeds" / "matched.py"
    seed.write_text(
        "# EVOLVE-BLOCK-START\ndef merge(site, base, matched):\n    return 0.5 * base + 0.5 * matched\n"
        "# EVOLVE-BLOCK-END\n"
    )
    said = terminal.run("run", "merge", "--evaluations", 4, "--name", "kinds", "--set", "evaluation.workers=1")
    assert "matched = second aligned to base" in said.stderr + said.stdout
    assert "donor 'matched': " in said.stderr + said.stdout
    assert [state for _, state, *_ in terminal.programs("kinds")].count("scored") == 4
    terminal.run("export", "winner", "merged", "--run", "kinds")
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "| matched | second aligned to base | `" in card
    assert "The vocabulary is the union of the donors'." in card
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")
