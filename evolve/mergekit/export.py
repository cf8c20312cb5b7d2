"""Writes a plan as a mergekit configuration, where mergekit can compute it.

The configuration is guessed from the plan's graphs and then proven: it is read back, converted to a recipe, traced, and
must give the same parameters by the same operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evolve.errors import CandidateError, UsageError
from evolve.mergekit.arrangement import Arrangement, Piece
from evolve.mergekit.candidates import Candidate, Found, Key, candidates, fit, specialised
from evolve.mergekit.combination import coefficients
from evolve.mergekit.document import document
from evolve.mergekit.gradient import Interval
from evolve.mergekit.matching import Graph
from evolve.mergekit.methods import METHODS
from evolve.mergekit.recipe import convert
from evolve.mergekit.schema import Configuration, Parameters, Rule, Slice, Source, read
from evolve.mergekit.spread import rules
from evolve.plan.plan import Plan, SitePlan
from evolve.recipe.trace import DonorInfo, trace

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Exported:
    """The YAML text; unless ``exact`` its results may differ in the last bit of float32."""

    text: str
    exact: bool


def export(plan: Plan, layers: int, places: Mapping[str, str], dtype: str | None = None) -> Exported:
    """The configuration of a plan over donors of so many ``layers`` that lie at ``places``.

    ``dtype`` is what the results are to be rounded to. Raises UsageError that names the site and what mergekit lacks.
    """
    arrangement = Arrangement.of(plan, layers)
    _refuse_leaves(plan)
    exact = _passthrough(plan, arrangement, places) or _method(plan, arrangement, places)
    if exact is not None:
        text = document(replace(exact, dtype=dtype))
        if _proven(text, plan, arrangement, layers, places):
            return Exported(text, True)
    sums = _linear(plan, arrangement, places)
    if sums is None:
        raise UsageError(_reason(plan, arrangement))
    comment = "The sums of the recipe in another order: the same up to the last bit of float32."
    return Exported(document(replace(sums, dtype=dtype), [comment]), False)


def _refuse_leaves(plan: Plan) -> None:
    for site in plan.sites:
        for op, what in (("total", "a total over the whole model"), ("statistic", "statistics of donors")):
            if plan.templates[site.template].leaves(op):
                raise UsageError(f"{site.name} is made from {what}, which mergekit does not have")


def _graph(plan: Plan, site: SitePlan) -> Graph:
    return Graph(plan.templates[site.template], site.values)


def _donors(plan: Plan, site: SitePlan) -> list[str]:
    return list(dict.fromkeys(str(leaf["name"]) for leaf in plan.templates[site.template].leaves("donor")))


def _passthrough(plan: Plan, arrangement: Arrangement, places: Mapping[str, str]) -> Configuration | None:
    """Each layer from one donor, scaled or not; None where that is not all."""
    owners: dict[str, tuple[str, Interval]] = {}
    candidate = Candidate("passthrough", 1, False)
    for site in arrangement.sites:
        found = fit(candidate, _graph(plan, site), site, {})
        if found is None:
            return None
        owners[site.name] = found.donors["m0"], found.numbers[("scale", 0)]
    slices = []
    for index, piece in enumerate(arrangement.pieces({name: donor for name, (donor, _) in owners.items()})):
        allowed = {site.name: owners[site.name][1] for site in piece.sites}
        if any(owners[site.name][0] != piece.donor for site in piece.sites):
            return None
        where = f"slices[{index}]"
        scaled = any(interval != Interval(1.0, 1.0) for interval in allowed.values())
        parameters = {"scale": rules(allowed, piece.positions, where)} if scaled else {}
        source = Source(places[str(piece.donor)], (piece.layers.start, piece.layers.stop), parameters, where)
        slices.append(Slice((source,), {}, where))
    if len(slices) == 1 and arrangement.whole:
        slices = [Slice((replace(slices[0].sources[0], layers=None),), {}, "models")]
    return Configuration("passthrough", tuple(slices))


def _method(plan: Plan, arrangement: Arrangement, places: Mapping[str, str]) -> Configuration | None:
    """One method for all sites, in each run of layers on the same donors; None where there is none."""
    if not arrangement.all_merged:
        return None
    groups = {site.name: ", ".join(sorted(_donors(plan, site))) for site in arrangement.sites}
    pieces = arrangement.pieces(groups)
    if any(groups[site.name] != piece.donor for piece in pieces for site in piece.sites):
        return None
    for candidate in candidates(max(len(_donors(plan, site)) for site in arrangement.sites)):
        found = [_everywhere(candidate, plan, piece.sites) for piece in pieces]
        if all(one is not None for one in found):
            whole = arrangement.whole and len(pieces) == 1
            slices = [_slice(*one, piece, places, whole) for one, piece in zip(found, pieces, strict=True) if one]
            base = places[next(iter(found[0][1].values())).donors["base"]] if candidate.base and found[0] else None
            return _configured(candidate, slices, base)
    return None


def _everywhere(
    candidate: Candidate, plan: Plan, sites: Sequence[SitePlan]
) -> tuple[Candidate, dict[str, Found]] | None:
    """How the candidate, on as many models as there are, makes every site from the same donors."""
    models = len(_donors(plan, sites[0])) - candidate.base
    if models < candidate.models and METHODS[candidate.method].models[0] > models:
        return None
    candidate = replace(candidate, models=models)
    donors: Mapping[str, str] = {}
    found: dict[str, Found] = {}
    known: dict[tuple[int, object, object], Found] = {}
    for site in sites:
        key = (site.template, tuple(map(repr, site.values)), site.shape)
        if key not in known:
            graph = _graph(plan, site)
            fits = (fit(special, graph, site, donors) for special in specialised(candidate))
            first = next((one for one in fits if one is not None), None)
            if first is None:
                return None
            known[key], donors = first, first.donors
        found[site.name] = known[key]
    return candidate, found


def _slice(
    candidate: Candidate, found: Mapping[str, Found], piece: Piece, places: Mapping[str, str], whole: bool
) -> Slice:
    """A slice with each model's parameters at the model, or at the slice where all models have the same."""
    donors = next(iter(found.values())).donors
    spread: dict[Key, tuple[Rule, ...]] = {}
    for key in candidate.keys:
        allowed = {site.name: found[site.name].numbers[key] for site in piece.sites}
        spread[key] = rules(allowed, piece.positions, f"{piece.layers}.{key}")
    own: list[dict[str, tuple[Rule, ...]]] = [{} for _ in range(candidate.models)]
    shared: dict[str, tuple[Rule, ...]] = {}
    for (name, model), numbers in spread.items():
        if candidate.method == "nuslerp":
            own[0][name], own[1][name] = _complement(numbers), numbers
        elif model is None or _equal_for_all(name, spread):
            shared[name] = numbers
        else:
            own[model][name] = numbers
    layers = None if whole else (piece.layers.start, piece.layers.stop)
    models = [places[donors[f"m{index}"]] for index in range(candidate.models)]
    sources = [Source(path, layers, own[index], path) for index, path in enumerate(models)]
    if candidate.base and (layers is not None or candidate.method == "slerp"):
        sources.insert(0, Source(places[donors["base"]], layers, {}, "base"))
    return Slice(tuple(sources), shared, "slice")


def _configured(candidate: Candidate, slices: Sequence[Slice], base: str | None) -> Configuration:
    """The whole, with what all slices have in common at the top."""
    flags: Parameters = {name: (Rule(None, value, name),) for name, value in candidate.flags}
    common = {name: found for name, found in slices[0].parameters.items() if all(_same(name, found, s) for s in slices)}
    slices = [replace(s, parameters={n: found for n, found in s.parameters.items() if n not in common}) for s in slices]
    parameters = METHODS[candidate.method].parameters
    told = {name: found for name, found in common.items() if _plain(found) != [(None, parameters[name].default)]}
    return Configuration(candidate.method, tuple(slices), base, {**told, **flags})


def _same(name: str, found: Sequence[Rule], piece: Slice) -> bool:
    return _plain(found) == _plain(piece.parameters[name]) if name in piece.parameters else False


def _plain(found: Sequence[Rule]) -> list[tuple[str | None, object]]:
    return [(rule.filter, rule.value) for rule in found]


def _equal_for_all(name: str, spread: Mapping[Key, tuple[Rule, ...]]) -> bool:
    texts = {
        repr([(rule.filter, rule.value) for rule in found]) for (other, _), found in spread.items() if other == name
    }
    return len(texts) == 1 and sum(other == name for other, _ in spread) > 1


def _complement(found: Sequence[Rule]) -> tuple[Rule, ...]:
    return tuple(
        replace(rule, value=tuple(1.0 - n for n in rule.value) if isinstance(rule.value, tuple) else 1.0 - rule.value)
        for rule in found
    )


def _linear(plan: Plan, arrangement: Arrangement, places: Mapping[str, str]) -> Configuration | None:
    """A weighted sum of the donors at every site; None where a site is anything else."""
    if not arrangement.all_merged:
        return None
    weights: dict[str, dict[str, float]] = {}
    for site in arrangement.sites:
        found = coefficients(plan.templates[site.template], site.values)
        if found is None:
            return None
        weights[site.name] = found
    used = [name for name in plan.donors if any(name in own for own in weights.values())]
    used.sort(key=lambda name: name != "base")  # the first model gives mergekit the configuration
    slices = []
    for index, piece in enumerate(arrangement.pieces({})):
        layers = None if arrangement.whole else (piece.layers.start, piece.layers.stop)
        sources = []
        for name in used:
            allowed = {site.name: _around(weights[site.name].get(name, 0.0)) for site in piece.sites}
            found_rules = rules(allowed, piece.positions, f"slices[{index}].{name}")
            sources.append(Source(places[name], layers, {"weight": found_rules}, name))
        slices.append(Slice(tuple(sources), {}, f"slices[{index}]"))
    return Configuration("linear", tuple(slices), None, {"normalize": (Rule(None, False, "normalize"),)})


def _around(number: float) -> Interval:
    margin = _ROUNDING * max(abs(number), 1e-3)
    return Interval(number - margin, number + margin)


def _proven(text: str, plan: Plan, arrangement: Arrangement, layers: int, places: Mapping[str, str]) -> bool:
    """Whether the recipe of a configuration makes the same parameters as the plan."""
    names = {place: name for name, place in places.items()}
    try:
        source = convert(read(text, "the configuration"), "the configuration", names).source
        made = trace(source, arrangement.all_sites, {name: DonorInfo(layers) for name in places}).plan
        return Arrangement.of(made, layers).content == arrangement.content
    except (UsageError, CandidateError):
        return False


def _reason(plan: Plan, arrangement: Arrangement) -> str:
    """Why a plan has no configuration: the first site that is unlike mergekit's methods, or unlike the others."""
    if not arrangement.all_merged:
        return "the stack takes some layers as they are and merges others; mergekit has one method a file"
    kinds: dict[str, str] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for site in arrangement.sites:
        if (site.template, site.shape) in seen:
            continue
        seen.add((site.template, site.shape))
        donors = _donors(plan, site)
        fitting = [
            candidate
            for candidate in candidates(len(donors))
            if any(fit(special, _graph(plan, site), site, {}) for special in specialised(candidate))
        ]
        if not fitting:
            noise = '; of random masks only those with rescale="l1" are mergekit\'s' if _has_noise(plan, site) else ""
            return (
                f"{site.name} is computed by none of mergekit's methods from {', '.join(donors) or 'no donor'}{noise}"
            )
        kinds.setdefault(f"{fitting[0].method} of {', '.join(donors)}", site.name)
    (first, name), *others = kinds.items()
    if not others:
        return f"the sites are {first} with numbers that no gradients and filters give"
    return f"{others[0][1]} is {others[0][0]}, {name} is {first}; mergekit has one method and one set of models a file"


def _has_noise(plan: Plan, site: SitePlan) -> bool:
    return bool(plan.templates[site.template].leaves("noise"))
