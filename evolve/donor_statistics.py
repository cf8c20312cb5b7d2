"""What donor statistics are made from: the table ``[profiles.NAME.statistics]`` of problem.toml, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class AdaMergingSpec:
    """How AdaMerging's coefficients are learned: Adam ``steps`` of ``batch`` texts at learning ``rate``, all
    coefficients ``init`` at first. The paper's are 1000 steps of 16 at 1e-3 from 0.3.
    """

    steps: int = 200
    batch: int = 16
    rate: float = 1e-3
    init: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class StatisticsSpec:
    """The first ``items`` texts of each JSONL file, each cut after ``max_tokens`` tokens.

    ``texts`` is one file for all donors, or by donor the file of its own data. AdaMerging reads ``unlabelled``, texts
    of the task that the merged model is for; by default all other files.
    """

    texts: str | dict[str, str]
    unlabelled: str = ""
    items: int = 256
    max_tokens: int = 256
    adamerging: AdaMergingSpec = field(default_factory=AdaMergingSpec)

    def own_file(self, donor: str) -> str:
        """The file of a donor's own texts."""
        return self.texts if isinstance(self.texts, str) else self.texts[donor]

    def unlabelled_files(self) -> list[str]:
        """The files that AdaMerging reads, none twice."""
        if self.unlabelled:
            return [self.unlabelled]
        return [self.texts] if isinstance(self.texts, str) else list(dict.fromkeys(self.texts.values()))

    def located(self, locate: Callable[[str], str]) -> StatisticsSpec:
        """With ``locate`` applied to the name of every file."""
        texts = self.texts
        found = locate(texts) if isinstance(texts, str) else {name: locate(file) for name, file in texts.items()}
        return replace(self, texts=found, unlabelled=self.unlabelled and locate(self.unlabelled))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StatisticsSpec:
        return cls(**{**data, "adamerging": AdaMergingSpec(**data["adamerging"])})

    def fault(self) -> str | None:
        """What is wrong with the numbers, or None."""
        least = {"items": 1, "max_tokens": 2, "adamerging.steps": 1, "adamerging.batch": 1}
        for name, low in least.items():
            section, _, key = name.rpartition(".")
            value = getattr(self.adamerging if section else self, key)
            if value < low:
                return f"{name} must be at least {low}, not {value}"
        if not self.adamerging.rate > 0:
            return f"adamerging.rate must be positive, not {self.adamerging.rate}"
        return None
