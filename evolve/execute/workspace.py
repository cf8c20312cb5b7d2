"""What a process keeps from plan to plan over the same donors, so that a child costs only what is new in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any

from evolve.execute.digests import Digests
from evolve.execute.keep import Keep
from evolve.execute.region import Loops, Region
from evolve.execute.structure import Structure, structure_key, structure_of
from evolve.plan.plan import SitePlan, Template

_MOST_STRUCTURES = 2048
# A node takes about a kilobyte with all that is worked out about it.
_MOST_NODES = 2**17


@dataclass
class Prepared:
    """A structure with what has been worked out about it; ``number`` tells it from all others of the process."""

    number: int
    structure: Structure
    digests: Digests
    regions: dict[tuple[int, tuple[tuple[int, str], ...]], Region] = field(default_factory=dict)

    def region(self, target: int, stored: Mapping[int, str], loops: Loops) -> Region:
        """How to compute a blocked node from leaves that are stored in these dtypes."""
        key = (target, tuple(sorted(stored.items())))
        found = self.regions.get(key)
        if found is None:
            found = self.regions[key] = Region(self.structure, target, dict(stored), loops)
        return found


class Workspace:
    """Prepared structures, compiled loops, and what is ``kept`` of results: small ones, order tables and masks.

    ``kept_bytes`` bounds what is kept. Only for plans over one and the same set of donors: what is kept
    is known by donors' names. May be shared between threads.
    """

    def __init__(self, kept_bytes: int = 2**28, loops: Loops | None = None) -> None:
        self.loops = Loops() if loops is None else loops
        self.kept = Keep(kept_bytes)
        self._structures: OrderedDict[Any, Prepared] = OrderedDict()
        self._nodes = 0
        self._numbers = count()
        self._lock = Lock()

    def prepared(self, template: Template, site: SitePlan, blocks: bool) -> Prepared:
        """The structure of a template for a site, analysed at most once."""
        # Equal numbers can differ as literals (0.0 and -0.0), so constants are told apart by their text.
        texts = tuple(repr(node.attributes) for node in template.nodes if node.op == "constant")
        key = (template, texts, structure_key(template, site), blocks)
        with self._lock:
            found = self._structures.get(key)
            if found is None:
                structure = structure_of(template, site, blocks)
                found = self._structures[key] = Prepared(next(self._numbers), structure, Digests(structure.nodes))
                self._nodes += len(template.nodes)
                while len(self._structures) > _MOST_STRUCTURES or self._nodes > _MOST_NODES > len(template.nodes):
                    _, oldest = self._structures.popitem(last=False)
                    self._nodes -= len(oldest.structure.nodes)
            else:
                self._structures.move_to_end(key)
        return found
