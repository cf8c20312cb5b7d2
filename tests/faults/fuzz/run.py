"""Coverage-guided fuzzing of one target: ``python tests/faults/fuzz/run.py patch --minutes 10 --corpus FOLDER``.

Needs ``pip install atheris``. An input that fails is written to ``FOLDER/crash-*``; copy it to ``cases/TARGET``, where
tests/faults/test_fuzz.py runs it from then on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["evolve.propose", "evolve.plan", "evolve.problem", "evolve.config"]):
    sys.path.insert(0, str(Path(__file__).parent))
    import mutations
    import targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--corpus", type=Path, required=True)
    told = parser.parse_args()
    told.corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(targets.examples()[told.target]):
        (told.corpus / f"example-{number}").write_bytes(data)
    options = [f"-max_total_time={round(60 * told.minutes)}", "-timeout=20", "-max_len=65536", "-rss_limit_mb=4096"]
    artifacts = f"-artifact_prefix={told.corpus}/"
    cases = Path(__file__).parent / "cases" / told.target
    folders = [str(told.corpus), *([str(cases)] if cases.is_dir() else [])]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(data, max_size)
        return mutations.mutated(told.target, data, seed)[:max_size]

    arguments = [sys.argv[0], *options, artifacts, *folders]
    atheris.Setup(arguments, lambda data: targets.timed(told.target, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
