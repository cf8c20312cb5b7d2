"""What ``evolve run`` is about to do, before it does it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evolve.problem import budget_text
from evolve.sources import described

if TYPE_CHECKING:
    from evolve.loop.start import Intent


def plan_text(intent: Intent) -> list[str]:
    """Problem, donors, proposers, budget, device and run folder, a line each."""
    problem, config = intent.problem, intent.config
    head = "resume" if intent.resumed else "problem"
    lines = [f"{head:<10} {problem.name} ({problem.kind}), profile {problem.profile_name}"]
    if problem.manifest.title:
        lines.append(f"{'':<10} {problem.manifest.title}")
    if problem.profile.donors:
        lines.append(
            f"{'donors':<10} "
            + ", ".join(donor_text(name, described(entry)) for name, entry in problem.profile.donors.items())
        )
    workers = str(config.evaluation.workers) if config.evaluation.workers else "as many as fit"
    lines += [
        f"{'proposers':<10} {config.proposals.llm}",
        f"{'budget':<10} {budget_text(config.budget)}",
        f"{'device':<10} {config.evaluation.device}, workers: {workers}",
        f"{'seed':<10} {config.seed}",
        f"{'folder':<10} {intent.folder}",
    ]
    if config.proposals.llm.partition(":")[0] == "offline" and "," not in config.proposals.llm:
        lines.append("no language model is configured: the built-in offline mutator proposes (--llm MODEL uses one)")
    return lines


def donor_text(name: str, source: str) -> str:
    """``ja`` for a donor that the problem makes itself, ``ja = where`` otherwise."""
    return name if "{prepared}" in source else f"{name} = {source.replace(os.path.expanduser('~'), '~')}"  # noqa: PTH111
