from __future__ import annotations

import pytest

from evolve.errors import UsageError
from evolve.sandbox import SandboxLevel, SandboxLimits

FULL = SandboxLevel(
    uid=True, landlock=7, seccomp=True, rlimits=True, network=True, files=True, processes=True, imports=True
)


@pytest.mark.parametrize("name", ["wall_s", "cpu_s", "memory_bytes", "output_bytes", "threads", "descriptors"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), None, True, "3"])
def test_limits_must_be_positive_numbers(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        SandboxLimits(**{name: value})


def test_a_full_level_is_described() -> None:
    assert FULL.missing == ()
    assert FULL.describe() == ("own user id, Landlock ABI 7, seccomp, rlimits, no network, no files, no processes")


def test_missing_layers_are_named() -> None:
    level = SandboxLevel(
        uid=False, landlock=0, seccomp=True, rlimits=True, network=True, files=False, processes=True, imports=False
    )
    assert level.missing == ("own user id", "Landlock", "no files")
    assert level.describe().endswith("missing: own user id, Landlock, no files; only preloaded modules can be imported")
