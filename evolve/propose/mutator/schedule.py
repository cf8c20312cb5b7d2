"""Operators that let a number depend on the site, and back.

The new program computes what its parent computes, until its numbers move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import libcst as cst
import numpy as np

from evolve.propose.mutator.draft import Draft, assigned_name, uses
from evolve.propose.mutator.numbers import shown
from evolve.propose.mutator.perturb import Edit
from evolve.propose.mutator.weights import (
    NamedKnob,
    NewKnob,
    after_docstring,
    free_knobs,
    insert_statement,
    local_names,
    merge_statements,
    named_knobs,
    names_in,
    replace_knob,
)

MAX_ANCHORS = 6
"""Most entries of a table over the layers; deeper models are interpolated."""

DEPTHS = ("bottom", "top", "transition")
"""Arguments of layer_swap that are depths themselves."""

AT_PLACE = '''\
def at_place(table, site):
    """Entry of a table for a site: the first for the embedding, the last for the head, between them linear in depth."""
    if site.layer is None:
        return table[0] if site.block == "embedding" else table[-1]
    layers = table[1:-1]
    place = site.depth * (len(layers) - 1)
    left = min(int(place), len(layers) - 2)
    return layers[left] + (place - left) * (layers[left + 1] - layers[left])
'''


@dataclass(frozen=True)
class Shape:
    """A way to depend on the site: the knobs that replace one number, the expression over them, and its name."""

    knobs: tuple[NewKnob, ...]
    expression: str
    words: str
    helper: str | None = None


Maker = Callable[[Draft, NamedKnob, np.random.Generator], Shape | None]


def _like(old: NamedKnob, name: str, count: int = 1, wide: bool = False) -> NewKnob:
    return NewKnob(name, [old.value] * count, old.knob.range.low, old.knob.range.high, wide)


def linear_in_depth(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """Two knobs, at the first and the last layer."""
    first, last = draft.fresh(f"{old.variable}_first"), draft.fresh(f"{old.variable}_last")
    expression = f"{first} + {draft.site}.depth * ({last} - {first})"
    return Shape((_like(old, first), _like(old, last)), expression, "linear in depth")


def by_place(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """A table over embedding, layers and head."""
    layers = draft.scope.request.layers
    if layers < 2:
        return None
    name = draft.fresh(f"{old.variable}_by_layer")
    table = _like(old, name, min(layers, MAX_ANCHORS) + 2, wide=True)
    return Shape((table,), f"at_place({name}, {draft.site})", "by layer", AT_PLACE)


def by_block(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """A number per block."""
    return _by_name(draft, old, "block", draft.scope.request.blocks)


def by_role(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """A number per role."""
    return _by_name(draft, old, "role", draft.scope.request.roles)


def _by_name(draft: Draft, old: NamedKnob, attribute: str, choices: tuple[str, ...]) -> Shape | None:
    if len(choices) < 2:
        return None
    name = draft.fresh(f"{old.variable}_by_{attribute}")
    options = "(" + ", ".join(f'"{choice}"' for choice in choices) + ")"
    expression = f"{name}[{options}.index({draft.site}.{attribute})]"
    return Shape((_like(old, name, len(choices), wide=True),), expression, f"by {attribute}")


def condition(draft: Draft, rng: np.random.Generator) -> tuple[str, str] | None:
    """A random test of the site as source text, and a word for it."""
    request, site = draft.scope.request, draft.site
    tests = [(f'{site}.block == "{block}"', block) for block in request.blocks]
    tests += [(f'{site}.role == "{role}"', role) for role in request.roles]
    if request.layers >= 2:
        for share, word in ((0.25, "bottom"), (0.5, "lower"), (0.75, "most")):
            tests.append((f"{site}.depth < {share}", word))
    if not tests:
        return None
    # Blocks and depths cut the model into a few large parts, single roles into many small ones.
    chances = np.array([1.0 if "role" not in test else 0.4 for test, _ in tests])
    return tests[int(rng.choice(len(tests), p=chances / chances.sum()))]


def split(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """Two knobs, one where a test of the site holds and one elsewhere."""
    found = condition(draft, rng)
    if found is None:
        return None
    test, word = found
    there, rest = draft.fresh(f"{old.variable}_{word}"), draft.fresh(f"{old.variable}_rest")
    return Shape((_like(old, there), _like(old, rest)), f"{there} if {test} else {rest}", f"split at {word}")


def turn(draft: Draft, old: NamedKnob, rng: np.random.Generator) -> Shape | None:
    """Two knobs and the depth at which one gives way to the other."""
    if draft.scope.request.layers < 2:
        return None
    names = [draft.fresh(f"{old.variable}_{word}") for word in ("early", "late", "turn")]
    place = NewKnob(names[2], [round(float(rng.uniform(0.2, 0.8)), 2)], 0.0, 1.0)
    expression = f"{names[0]} if {draft.site}.depth < {names[2]} else {names[1]}"
    return Shape((_like(old, names[0]), _like(old, names[1]), place), expression, "early and late")


MAKERS: tuple[tuple[Maker, float], ...] = (
    (by_place, 5.0),
    (linear_in_depth, 1.5),
    (by_block, 1.5),
    (by_role, 0.7),
    (split, 1.5),
    (turn, 1.0),
)


def schedule(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Makes one number, or all of them alike, depend on the site."""
    knobs = _amounts(draft)
    if not knobs:
        return None
    chances = np.array([weight for _, weight in MAKERS])
    maker = MAKERS[int(rng.choice(len(MAKERS), p=chances / chances.sum()))][0]
    chosen = knobs if len(knobs) > 1 and rng.random() < 0.5 else [knobs[int(rng.integers(len(knobs)))]]
    words = ""
    for old in chosen:
        shape = maker(draft, old, rng)
        if shape is None:
            return None
        draft, words = _shaped(draft, old.variable, shape), shape.words
    names = ", ".join(old.variable for old in chosen)
    return draft, f"{names} {words}"


def _amounts(draft: Draft) -> list[NamedKnob]:
    """The free knobs that are amounts, not depths that the recipe compares with."""
    if draft.merge is None:
        return []
    depths: set[str] = set()
    for node in draft.expressions(lambda n: isinstance(n, (cst.Comparison, cst.Arg))):
        if isinstance(node, cst.Comparison) or (node.keyword is not None and node.keyword.value in DEPTHS):  # type: ignore[attr-defined]
            depths |= names_in(node)
    return [item for item in free_knobs(draft) if item.variable not in depths]


def _shaped(draft: Draft, variable: str, shape: Shape) -> Draft:
    """The draft with a knob replaced by a local variable of its name, computed at the top of ``merge``."""
    if shape.helper is not None and "at_place" not in draft.functions:
        draft = draft.with_function(shape.helper)
    old = next(item for item in named_knobs(draft) if item.variable == variable)
    draft = replace_knob(draft, old, shape.knobs)
    return insert_statement(draft, f"{variable} = {shape.expression}\n", after_docstring(draft))


def modulate(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Multiplies a local number by a new knob where a test of the site holds; composes with every schedule."""
    if draft.merge is None:
        return None
    found = condition(draft, rng)
    numbers = list(_scheduled(draft))
    if found is None or not numbers:
        return None
    name = numbers[int(rng.integers(len(numbers)))]
    test, word = found
    factor = draft.fresh(f"{name}_{word}_factor")
    places = [i for i, item in enumerate(merge_statements(draft)) if _assigns(item, name)]
    draft = draft.with_knob(factor, "1.0", 0.0, 2.0)
    draft = insert_statement(draft, f"if {test}:\n    {name} = {name} * {factor}\n", places[-1] + 1)
    return draft, f"scale {name} where {test}"


def _assigns(statement: cst.CSTNode, name: str) -> bool:
    target = assigned_name(statement)
    return target is not None and target[0] == name


def _scheduled(draft: Draft) -> dict[str, list[NamedKnob]]:
    """Local numbers of ``merge`` that are computed from knobs and the site alone, with those knobs."""
    assert draft.merge is not None
    known = {item.variable: item for item in named_knobs(draft)}
    found = {}
    for statement in merge_statements(draft):
        target = assigned_name(statement)
        several = isinstance(target[1], (cst.List, cst.Tuple, cst.Dict, cst.ListComp)) if target is not None else False
        if target is None or several or local_names(draft.merge).count(target[0]) != 1:
            continue
        names = names_in(target[1])
        knobs = [known[name] for name in sorted(names & known.keys())]
        donors = names & set(draft.scope.request.donors)
        if knobs and not donors and not names & set(local_names(draft.merge)):
            found[target[0]] = knobs
    return found


def flatten(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Turns a schedule back into one number, the mean of its entries."""
    if draft.merge is None:
        return None
    numbers = _scheduled(draft)
    usable = [name for name, knobs in numbers.items() if _own(draft, knobs) and _plain_variable(draft, name)]
    if not usable:
        return None
    name = usable[int(rng.integers(len(usable)))]
    first = numbers[name][0]
    alike = [knob for knob in numbers[name] if knob.knob.range == first.knob.range]
    mean = float(np.mean([value for knob in alike for value in knob.knob.values]))
    level = round(mean, 4)
    statement = next(item for item in merge_statements(draft) if _assigns(item, name))
    draft = draft.with_tree(_without(draft.tree, statement))
    draft = replace_knob(
        draft, _again(draft, first), [NewKnob(name, [level], first.knob.range.low, first.knob.range.high)]
    )
    return draft.prune(), f"{name} constant at {shown(level)}"


def _own(draft: Draft, knobs: list[NamedKnob]) -> bool:
    """Whether the knobs serve one expression only."""
    return all(uses(draft.tree, knob.variable) == _mentions(draft, knob) + 1 for knob in knobs)


def _mentions(draft: Draft, knob: NamedKnob) -> int:
    assert draft.merge is not None
    counts = [uses(item, knob.variable) for item in merge_statements(draft) if assigned_name(item) is not None]
    return next((count for count in counts if count), 0)


def _plain_variable(draft: Draft, name: str) -> bool:
    """Whether no other statement of ``merge`` assigns the variable, at any depth, and no knob bears its name."""
    assert draft.merge is not None
    targets = draft.expressions(lambda node: isinstance(node, cst.AssignTarget) and name in names_in(node.target))
    return len(targets) == 1 and name not in draft.knobs


def _again(draft: Draft, old: NamedKnob) -> NamedKnob:
    return next(item for item in named_knobs(draft) if item.variable == old.variable)


def _without(tree: cst.Module, statement: cst.CSTNode) -> cst.Module:
    changed = tree.deep_remove(statement)
    assert isinstance(changed, cst.Module)
    return changed
