"""The model card of an exported merge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evolve import __version__
from evolve.loop.parts import Parts
from evolve.sources import described
from evolve.store import queries
from evolve.store.tasks import split_interval


def model_card(parts: Parts, number: int) -> str:
    """README text with score, donors, recipe and lineage of one program."""
    row = queries.program(parts.database.connection, number)
    return "\n".join(
        [*_head(parts, row), *_scores(parts, row), *_donors(parts), *_recipe(row), *_lineage(parts, row), ""]
    )


def _head(parts: Parts, row: dict[str, Any]) -> Iterator[str]:
    yield "---\nlibrary_name: transformers\ntags:\n- merge\n- evolve\n---\n"
    yield f"# {parts.problem.name}, program {row['id']}\n"
    yield f"A merge of {len(parts.donor_layers)} models, found by evolve {__version__} in run `{parts.folder.name}`."
    yield f"The recipe below, applied to the donors below, gives exactly these weights (plan `{row['plan_digest']}`).\n"


def _scores(parts: Parts, row: dict[str, Any]) -> Iterator[str]:
    yield (
        "## Scores\n\n| split | items | "
        + parts.problem.manifest.score.metric
        + " | 95 % interval |\n|---|--:|--:|--:|"
    )
    for evaluation in row["evaluations"]:
        score = parts.problem.sign * evaluation["score"]
        found = split_interval(parts.database.connection, evaluation["split"], score, evaluation["outcomes"])
        interval = f"{found.low:.4f} to {found.high:.4f}" if found else ""
        yield f"| {evaluation['split']} | {evaluation['items']} | {score:.4f} | {interval} |"
    yield "\nThe search split drove the evolution and flatters the model; the test split did not."


def _donors(parts: Parts) -> Iterator[str]:
    yield "\n## Donors\n\n| name | source | sha256 |\n|---|---|---|"
    for name, facts in parts.donors.items():
        told = described(parts.problem.profile.donors[name])
        source = "made by the problem's prepare hook" if "{prepared}" in told else told
        yield f"| {name} | {source} | `{facts['digest'][:16]}` |"
    profile = parts.problem.profile
    if profile.vocabulary == "union":
        rows = "".join(f"; the row of `{token}` is that of {name}" for token, name in profile.tokens.items())
        yield f"\nThe vocabulary is the union of the donors'{rows}."


def _recipe(row: dict[str, Any]) -> Iterator[str]:
    yield f"\n## Recipe\n\n```python\n{row['source'].rstrip()}\n```"


def _lineage(parts: Parts, row: dict[str, Any]) -> Iterator[str]:
    yield "\n## Lineage\n\n| program | score | by | change |\n|--:|--:|---|---|"
    for step in [*row["ancestors"], row]:
        score = "" if step["score"] is None else f"{parts.problem.sign * step['score']:.4f}"
        yield f"| {step['id']} | {score} | {step['proposer']} | {step['description'].replace('|', '/')} |"
