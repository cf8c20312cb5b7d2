"""Where the kernel lacks a layer, everyone is told which level holds, and below the minimum nothing runs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import pytest

from evolve.cli.new import SCAFFOLDS
from evolve.config import SANDBOX_LEVELS, RunConfig, SandboxConfig, update
from evolve.errors import SandboxError, UsageError
from evolve.sandbox import Sandbox, SandboxLevel
from evolve.sandbox.limits import LEVELS
from evolve.sandbox.program import ENTRY
from evolve.store import queries

ALL = {"uid": True, "landlock": 7, "seccomp": True, "rlimits": True, "network": True, "files": True,
       "processes": True, "imports": True}  # fmt: skip

# Makes the kernel answer like one that has neither Landlock nor seccomp, for this process and all it starts.
POORER_KERNEL = """
import os, platform, struct, sys
from evolve.sandbox import kernel, seccomp

def step(code, true, false, value):
    return struct.pack("=HBBI", code, true, false, value)

PRCTL, SECCOMP = {"x86_64": (157, 317), "aarch64": (167, 277)}[platform.machine()]
refuse, allow = 0x00050000 | 38, 0x7FFF0000
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install(b"".join([
    step(0x20, 0, 0, 0), step(0x15, 0, 1, 444), step(0x06, 0, 0, refuse),
    step(0x15, 0, 1, SECCOMP), step(0x06, 0, 0, refuse), step(0x15, 0, 3, PRCTL),
    step(0x20, 0, 0, 16), step(0x15, 0, 1, kernel.PR_SET_SECCOMP), step(0x06, 0, 0, refuse), step(0x06, 0, 0, allow),
]))
os.execv(sys.executable, [sys.executable, "-m", "evolve", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("lacking", "name"),
    [
        ({}, "full"),
        ({"uid": False}, "full"),
        ({"imports": False}, "full"),
        ({"landlock": 0}, "contained"),
        ({"seccomp": False}, "contained"),
        ({"network": False}, "none"),
        ({"files": False, "landlock": 0}, "none"),
        ({"processes": False}, "none"),
        ({"rlimits": False}, "none"),
    ],
)
def test_a_level_is_the_highest_whose_demands_are_met(lacking, name):
    level = SandboxLevel(**{**ALL, **lacking})
    assert level.name == name
    for minimum in LEVELS:
        if list(LEVELS).index(minimum) <= list(LEVELS).index(name):
            level.require(minimum)
        else:
            with pytest.raises(SandboxError, match=f"sandbox.minimum = '{minimum}' demands.*--unsafe-sandbox"):
                level.require(minimum)


def test_the_setting_takes_the_levels_and_nothing_else():
    assert tuple(LEVELS) == SANDBOX_LEVELS
    assert SandboxConfig().minimum == "contained"
    assert update(RunConfig(), {"sandbox": {"minimum": "full"}}, "here").sandbox.minimum == "full"
    with pytest.raises(UsageError, match="none, contained, full, not 'most'"):
        update(RunConfig(), {"sandbox": {"minimum": "most"}}, "here")


@pytest.mark.parametrize("without", ["landlock", "seccomp"])
def test_a_sandbox_without_a_layer_is_not_full(without):
    with Sandbox(ENTRY, without=(without,)) as sandbox:
        level = sandbox.level
    # what the other layers hold is measured, not assumed
    assert level.name == ("contained" if without == "landlock" else "none")
    with pytest.raises(SandboxError, match="Landlock" if without == "landlock" else "seccomp"):
        level.require("full")


@pytest.fixture
def poorer(tmp_path):
    """Runs evolve as on a kernel without Landlock and seccomp."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no filter for this machine")
    shutil.copytree(SCAFFOLDS / "program", tmp_path / "program", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "EVOLVE_RUNS": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1"}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", POORER_KERNEL, *arguments], capture_output=True, text=True, check=False,
            cwd=tmp_path, env=environment, timeout=120,
        )  # fmt: skip

    return run


def test_a_run_below_the_minimum_is_refused_before_anything_is_evaluated(poorer, tmp_path):
    done = poorer("run", "program", "--evaluations", "2", "--name", "r")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the sandbox here lacks no network, no files, no processes, which")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs" / "r").exists()


def test_who_accepts_the_danger_is_told_what_is_missing(poorer, tmp_path):
    done = poorer("run", "program", "--evaluations", "2", "--name", "r", "--unsafe-sandbox")
    assert done.returncode == 0, done.stderr
    header = next(line for line in done.stdout.splitlines() if line.startswith("sandbox "))
    assert "none: " in header
    assert "missing: " in header
    assert "Landlock, seccomp, no network, no files, no processes" in header
    with queries.reading(tmp_path / "runs" / "r") as connection:
        assert queries.summary(connection, tmp_path / "runs" / "r")["state"] == "finished"


def test_doctor_names_the_level(poorer):
    assert "none: " in next(line for line in poorer("doctor").stdout.splitlines() if line.startswith("sandbox"))
