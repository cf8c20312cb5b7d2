"""The table of the ablation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import search_report
import search_runs as runs


def table(results: Sequence[runs.Result], variants: Sequence[str], budget: int) -> str:
    """Markdown: means of every variant, and the paired differences of the first one's test scores to the others'."""
    default = variants[0]
    rows = ["| variant | runs | items | search | validation | test | default minus this | pairs |"]
    rows.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name in variants:
        own = [result for result in results if result.strategy == name and result.budget == budget]
        if not own:
            continue
        items = statistics.fmean(result.items for result in own)
        splits = ("search", "validation", "test")
        means = " | ".join(f"{statistics.fmean(getattr(one, split) for one in own):.3f}" for split in splits)
        pairs = search_report.differences(results, name, budget, default) if name != default else []
        rows.append(f"| {name} | {len(own)} | {items:.0f} | {means} | {_difference(pairs)} | {len(pairs) or ''} |")
    return "\n".join(rows)


def _difference(pairs: Sequence[float]) -> str:
    if not pairs:
        return ""
    low, high = search_report.interval(pairs)
    bounds = f" [{low:+.3f}, {high:+.3f}]" if len(pairs) > 1 else " (one pair, no interval)"
    return f"{statistics.fmean(pairs):+.3f}{bounds}"
