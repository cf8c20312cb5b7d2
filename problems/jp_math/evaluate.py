"""Judges a merged model on Japanese word problems: the number must be right and the reasoning Japanese.

The same code serves both profiles; ``candidate.settings`` chooses:

- ``prompt``: a name in ``PROMPTS``
- ``max_new_tokens``, ``stop``: passed to ``candidate.generate``
- ``extractor``: ``exact`` or ``paper``, a name in ``EXTRACTORS``
- ``kinds``: the two kinds of items whose skills are the features
- ``small_below``: an item without a ``kind`` is ``small`` when its answer is less than this, else ``large``
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from evolve.evaluation import Evaluation

PROMPTS: Mapping[str, str] = {
    "plain": "{question}\n",
    # The zero-shot prompt of "Evolutionary Optimization of Model Merging Recipes", there called ja-alpaca-cot.
    "ja-alpaca-cot": (
        "以下に、あるタスクを説明する指示があります。リクエストを適切に完了するための回答を日本語で記述してください。"
        "一歩一歩考えましょう。\n\n### 指示:\n{question}\n\n### 応答:"
    ),
}
DEFAULTS: Mapping[str, Any] = {
    "prompt": "plain",
    "max_new_tokens": 24,
    "stop": [],
    "extractor": "exact",
    "kinds": ["add", "sub"],
    "small_below": 50,
}
JAPANESE_ABOVE = 0.5
SAME_NUMBER = 1e-6
FEEDBACK_CHARACTERS = 1200
SHOWN_MISTAKES = 6
SHOWN_CHARACTERS = 70

# A minus after an operand subtracts: 28-16 ends in 16. Commas group three digits; 、 lists numbers and never groups.
_NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)\]])-)?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)")
_PAPER_NUMBER = re.compile(r"\d*\.?\d+")
_MINUS_SIGNS = str.maketrans(dict.fromkeys("\N{MINUS SIGN}\N{HYPHEN}\N{EN DASH}", "-"))


def last_number(text: str) -> float | None:
    """The last number of ``text``, with its sign, decimals and thousands separators, full-width or not."""
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text).translate(_MINUS_SIGNS))
    return float(found[-1].replace(",", "")) if found else None


def last_number_as_in_the_paper(text: str) -> float | None:
    """As the paper's published evaluation reads it: ``1,234`` is 234 and a sign is lost."""
    found = _PAPER_NUMBER.findall(text)
    return float(found[-1]) if found else None


EXTRACTORS: Mapping[str, Callable[[str], float | None]] = {
    "exact": last_number,
    "paper": last_number_as_in_the_paper,
}


@functools.cache
def _identifier() -> Any:
    """The language identifier, loaded once in a process (0.7 s); its model ships inside the package."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.lru_cache(maxsize=65_536)
def japanese(text: str) -> float:
    """The probability that ``text`` as a whole is Japanese; remembered for answers that are judged again in a race."""
    return float(dict(_identifier().rank(text))["ja"])


class Verdict(NamedTuple):
    """One answer and what is wrong with it, if anything."""

    question: str
    expected: float
    kind: str
    text: str
    number_right: bool
    is_japanese: bool

    @property
    def right(self) -> bool:
        return self.number_right and self.is_japanese

    @property
    def fault(self) -> str:
        if self.is_japanese:
            return "wrong number"
        return "not Japanese" if self.number_right else "wrong number, not Japanese"


def judge(item: Mapping[str, Any], text: str, settings: Mapping[str, Any]) -> Verdict:
    """The verdict on one answer; ``item`` holds ``question``, ``answer`` and perhaps ``kind``."""
    expected = float(item["answer"])
    number = EXTRACTORS[settings["extractor"]](text)
    return Verdict(
        question=item["question"],
        expected=expected,
        kind=item.get("kind") or ("small" if expected < settings["small_below"] else "large"),
        text=text,
        number_right=number is not None and abs(number - expected) < SAME_NUMBER,
        is_japanese=japanese(text) > JAPANESE_ABOVE,
    )


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def evaluate(candidate: Any) -> Evaluation:
    """Score = share of items with the right number in Japanese.

    The features are the shares of right numbers, in whatever language, among the items of the two ``kinds``: of two
    models that calculate equally well, the one that speaks more Japanese keeps the cell.
    """
    settings = {**DEFAULTS, **candidate.settings}
    prompts = [PROMPTS[settings["prompt"]].format(question=item["question"]) for item in candidate.items]
    texts = candidate.generate(prompts, max_new_tokens=settings["max_new_tokens"], stop=list(settings["stop"]))
    verdicts = [judge(item, text, settings) for item, text in zip(candidate.items, texts, strict=True)]
    by_kind = {kind: [v for v in verdicts if v.kind == kind] for kind in sorted({v.kind for v in verdicts})}
    first, second = (by_kind.get(kind, []) for kind in settings["kinds"])
    metrics = {
        "accuracy": _share([v.right for v in verdicts]),
        "numbers_right": _share([v.number_right for v in verdicts]),
        "japanese": _share([v.is_japanese for v in verdicts]),
        **{f"accuracy_{kind}": _share([v.right for v in group]) for kind, group in by_kind.items()},
    }
    return Evaluation(
        score=metrics["accuracy"],
        metrics=metrics,
        features={
            "skill_one": _share([v.number_right for v in first]),
            "skill_two": _share([v.number_right for v in second]),
        },
        outcomes=[float(v.right) for v in verdicts],
        feedback=feedback(verdicts, metrics),
    )


def feedback(verdicts: Sequence[Verdict], metrics: Mapping[str, float]) -> str:
    """The figures and a few mistakes, of each kind and fault in turn, in at most ``FEEDBACK_CHARACTERS``."""
    text = "; ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    mistakes: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if not verdict.right:
            mistakes.setdefault((verdict.fault, verdict.kind), []).append(verdict)
    for group, members in sorted(mistakes.items()):
        text += f"\n{len(members)} x {', '.join(group)}"
    turns = itertools.zip_longest(*(members for _, members in sorted(mistakes.items())))
    shown = [verdict for turn in turns for verdict in turn if verdict is not None][:SHOWN_MISTAKES]
    for verdict in shown:
        line = f"\n- {_short(verdict.question)} expected {verdict.expected:g}, got: {_short(verdict.text)}"
        line += f" ({verdict.fault})"
        if len(text) + len(line) > FEEDBACK_CHARACTERS:
            break
        text += line
    return text[:FEEDBACK_CHARACTERS]


def _short(text: str) -> str:
    """One line of at most ``SHOWN_CHARACTERS``."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
