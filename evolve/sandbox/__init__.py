"""Processes that contain hostile program text.

A fork server loads heavy modules once and forks a jailed child per candidate (milliseconds). A child has a user id of
its own, Landlock, a seccomp list of allowed system calls, rlimits, an empty environment, nothing it can write to, and
two pipes. What comes back is JSON and safetensors, never pickle, and is read as if an enemy wrote it.

    with Sandbox("evolve.recipe.trace:serve", preload=("torch",)) as sandbox:
        reply, arrays = sandbox.run({"source": text})
"""

from evolve.sandbox.caller import Program, program_sandbox
from evolve.sandbox.client import Sandbox, Session
from evolve.sandbox.limits import SandboxLevel, SandboxLimits

__all__ = ["Program", "Sandbox", "SandboxLevel", "SandboxLimits", "Session", "program_sandbox"]
