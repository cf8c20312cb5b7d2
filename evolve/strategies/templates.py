"""Recipe texts whose knobs a numeric search fills in."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.config import nearest
from evolve.errors import UsageError
from evolve.strategies.base import Setting
from evolve.strategies.tuning import Tunable

GROUP_OF_SITE = '''def group(site):
    """0 for the embedding, 1 for the first layer and so on, the last one for the head and the final norm."""
    if site.layer is None:
        return 0 if site.block == "embedding" else {last}
    return site.layer + 1
'''


def require_merge(setting: Setting, name: str) -> None:
    """Raises UsageError unless the problem merges models of which at least one is no base."""
    if setting.kind != "merge":
        raise UsageError(f"the strategy {name!r} merges models, this problem is of kind {setting.kind!r}; use evolve")
    if not setting.experts:
        raise UsageError(f"the strategy {name!r} needs a donor besides the base; add one to the problem's donors")


def require_base(setting: Setting, what: str) -> str:
    """The base's name. Raises UsageError where no donor is called base."""
    if setting.base is None:
        raise UsageError(f"{what} needs a donor called 'base'; name one so, or use parameter_space with method=linear")
    return setting.base


def groups_of(setting: Setting) -> int:
    """How many groups a recipe with numbers per layer has: the embedding, every layer, head with final norm."""
    return setting.layers + 2


def knob_line(variable: str, value: float, low: float, high: float, groups: int = 0) -> str:
    """``ja_weight = knob("ja_weight", 0.5, low=0.0, high=1.0)``; a list of ``groups`` equal numbers unless 0."""
    shown = f"[{', '.join([repr(value)] * groups)}]" if groups else repr(value)
    return f'{variable} = knob("{variable}", {shown}, low={low!r}, high={high!r})'


def recipe(summary: str, methods: Sequence[str], body: str, knobs: bool = True) -> str:
    """A whole program with one EVOLVE-BLOCK around ``body``; ``methods`` are imported, ``knob`` where it is used."""
    imports = [f"from evolve.methods import {', '.join(methods)}"] if methods else []
    imports += ["from evolve.recipe import knob"] if knobs else []
    head = [f'"""{summary}"""', "", *imports, *([""] if imports else [])]
    return "\n".join([*head, "# EVOLVE-BLOCK-START", body.strip("\n"), "", "", "# EVOLVE-BLOCK-END", ""])


def weighted_sum(setting: Setting, low: float, high: float, value: float, per_layer: bool = False) -> str:
    """Experts added with a knob each: task vectors on the base, or the donors themselves where there is no base."""
    experts, groups = setting.experts, groups_of(setting) if per_layer else 0
    at = "[group(site)]" if per_layer else ""
    method = "linear" if setting.base is None else "task_arithmetic"
    tensors, factors = ", ".join(experts), ", ".join(f"{name}_weight{at}" for name in experts)
    if setting.base is None:
        arguments, call = tensors, f"linear([{tensors}], [{factors}], normalize=False)"
    else:
        arguments, call = f"{setting.base}, {tensors}", f"task_arithmetic({setting.base}, [{tensors}], [{factors}])"
    knobs = "\n".join(knob_line(f"{name}_weight", value, low, high, groups) for name in experts)
    helper = f"{GROUP_OF_SITE.format(last=groups - 1)}\n\n" if per_layer else ""
    merge = f'def merge(site, {arguments}):\n    """Merged weight of one parameter."""\n    return {call}'
    amounts = "a coefficient per expert and group of layers" if per_layer else "one coefficient per expert"
    title = "Task arithmetic" if setting.base is not None else "A weighted sum"
    return recipe(f"{title} with {amounts}.", [method], f"{knobs}\n\n\n{helper}{merge}")


def tunable_seed(setting: Setting, name: str) -> Tunable:
    """The knobs of a seed program. Raises UsageError for an unknown seed and for one without knobs."""
    if name not in setting.seeds:
        raise UsageError(f"search.options.program: no seed {name!r}; {nearest(name, setting.seeds)}")
    found = Tunable(setting.seeds[name])
    if not found.space.size:
        raise UsageError(f"search.options.program: the seed {name!r} has no knobs; choose one that has, or add some")
    return found
