"""What a jailed process may use, and which protections hold on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolve.errors import SandboxError, UsageError

_WALLS = ("rlimits", "no network", "no files", "no processes")
LEVELS = {"none": (), "contained": _WALLS, "full": (*_WALLS, "Landlock", "seccomp")}
"""What each level demands, in rising order. ``contained``: a program cannot get out, by whichever layer; ``full``: two
mechanisms of the kernel see to that. A user id of its own is demanded by none: only root can give one."""


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of one jailed process.

    ``wall_s`` bounds each call. ``cpu_s`` bounds the CPU time over all threads: of a run (also by the kernel, in whole
    seconds rounded up), and of a session that many seconds for each call so far. ``memory_bytes`` comes on top of what
    the preloaded modules use. ``output_bytes`` bounds one reply, and its JSON part to 8 MiB at most.
    """

    wall_s: float = 10.0
    cpu_s: float = 20.0
    memory_bytes: int = 2 * 2**30
    output_bytes: int = 64 * 2**20
    threads: int = 64
    descriptors: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise UsageError(f"sandbox limit {name} = {value!r}; give a number above 0")


@dataclass(frozen=True)
class SandboxLevel:
    """What held when a jailed process tried to break out.

    ``landlock`` is the kernel's Landlock ABI, 0 where it is missing. ``uid``: each process has a user id of its own
    (only where the caller is root). ``network``, ``files`` and ``processes``: sockets, files outside the interpreter's
    folders, and other processes are out of reach, by whichever layer. ``imports``: modules that were not preloaded can
    still be imported; this is a convenience, not a protection.
    """

    uid: bool
    landlock: int
    seccomp: bool
    rlimits: bool
    network: bool
    files: bool
    processes: bool
    imports: bool

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SandboxLevel:
        return cls(**data)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the protections that do not hold here."""
        held = {
            "own user id": self.uid,
            "Landlock": self.landlock > 0,
            "seccomp": self.seccomp,
            "rlimits": self.rlimits,
            "no network": self.network,
            "no files": self.files,
            "no processes": self.processes,
        }
        return tuple(name for name, holds in held.items() if not holds)

    @property
    def name(self) -> str:
        """The highest of ``LEVELS`` that holds here."""
        return [name for name, demands in LEVELS.items() if not set(demands) & set(self.missing)][-1]

    def require(self, minimum: str) -> None:
        """Raises SandboxError when a protection is missing that the level ``minimum`` demands."""
        missing = [name for name in LEVELS[minimum] if name in self.missing]
        if missing:
            raise SandboxError(
                f"the sandbox here lacks {', '.join(missing)}, which sandbox.minimum = {minimum!r} demands; see "
                "`evolve doctor`, use another machine, or accept the danger with --unsafe-sandbox"
            )

    def describe(self) -> str:
        """One line: the layers that hold, and by name those that are missing."""
        layers = {
            "own user id": self.uid,
            f"Landlock ABI {self.landlock}": self.landlock > 0,
            "seccomp": self.seccomp,
            "rlimits": self.rlimits,
            "no network": self.network,
            "no files": self.files,
            "no processes": self.processes,
        }
        line = ", ".join(name for name, holds in layers.items() if holds) or "no protection"
        if self.missing:
            line += f"; missing: {', '.join(self.missing)}"
        return line if self.imports else line + "; only preloaded modules can be imported"
