"""A mergekit configuration, read and checked; every error names the YAML path of the key at fault."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from evolve.config import nearest
from evolve.errors import UsageError
from evolve.mergekit.methods import METHODS, WITHOUT_EFFECT, Method

Value = bool | int | float | tuple[float, ...]

DTYPES = ("float32", "bfloat16", "float16")
_TOP = (
    "merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "out_dtype",
    "tokenizer_source", "tokenizer", "chat_template",
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """The value of a parameter for tensors whose name contains ``filter`` (None: for all); a tuple is a gradient.

    ``where`` is its YAML path, by which the same rule is known again.
    """

    filter: str | None
    value: Value
    where: str


Parameters = Mapping[str, tuple[Rule, ...]]


@dataclass(frozen=True)
class Source:
    """The layers ``first..last - 1`` of one model (None: all its layers)."""

    model: str
    layers: tuple[int, int] | None
    parameters: Parameters
    where: str


@dataclass(frozen=True)
class Slice:
    """A run of layers of the merged model, made from one or several sources."""

    sources: tuple[Source, ...]
    parameters: Parameters
    where: str


@dataclass(frozen=True)
class Configuration:
    """A whole configuration; ``models:`` is one slice without layer ranges.

    ``tokenizer`` is ``base``, ``union``, a model or None.
    """

    method: str
    slices: tuple[Slice, ...]
    base: str | None = None
    parameters: Parameters = field(default_factory=dict)
    dtype: str | None = None
    tokenizer: str | None = None

    @property
    def settings(self) -> Method:
        return METHODS[self.method]

    @property
    def models(self) -> list[str]:
        """Every model in the order of its mention, the base first."""
        mentioned = [source.model for piece in self.slices for source in piece.sources]
        return list(dict.fromkeys([self.base, *mentioned] if self.base else mentioned))


def read(text: str, name: str) -> Configuration:
    """The configuration in a YAML text; raises UsageError with the line, or the path, of what is wrong."""
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f" line {mark.line + 1}"
        problem = " ".join(str(error.problem or error.context).split())
        raise UsageError(f"{name}{line}: no YAML that can be read ({problem})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: no YAML that can be read ({' '.join(str(error).split())[:200]})") from None
    try:
        return _configuration(document)
    except _Refused as error:
        raise UsageError(f"{name}: {error}") from None


class _Refused(Exception):
    """What is wrong, beginning with the YAML path."""


def _configuration(document: Any) -> Configuration:
    table = _table(document, "the document")
    if "experts" in table or "gate_mode" in table:
        key = "experts" if "experts" in table else "gate_mode"
        raise _Refused(f"{key}: a mixture of experts is another architecture; a recipe merges parameters one by one")
    modules = table.get("modules")
    if modules is not None:
        table = {**{key: value for key, value in table.items() if key != "modules"}, **_only_module(modules)}
    _known(table, _TOP, "")
    method = table.get("merge_method")
    if method not in METHODS:
        raise _Refused(f"merge_method: evolve has no method {method!r}; {nearest(str(method), METHODS)}")
    if ("models" in table) == ("slices" in table):
        raise _Refused("models: give either models or slices")
    if table.get("chat_template") not in (None, "auto"):
        raise _Refused(
            "chat_template: it belongs to the tokenizer, not to a merge; set it in the merged model's folder"
        )
    method = str(method)
    base = None if table.get("base_model") is None else _model(table["base_model"], "base_model")
    parameters = _parameters(table.get("parameters"), method, "parameters")
    slices = _from_models(table["models"], method) if "models" in table else _from_slices(table["slices"], method)
    found = Configuration(
        method,
        slices,
        base,
        parameters,
        _dtype(table),
        _tokenizer(table.get("tokenizer_source"), table.get("tokenizer")),
    )
    for piece in found.slices:
        _check_models(found, piece)
    return found


def _only_module(modules: Any) -> Mapping[str, Any]:
    table = _table(modules, "modules")
    if len(table) != 1:
        raise _Refused(f"modules: {len(table)} modules; a recipe merges models of one module")
    ((name, module),) = table.items()
    return _table(module, f"modules.{name}")


def _from_models(models: Any, method: str) -> tuple[Slice, ...]:
    sources = []
    for where, entry in _items(models, "models"):
        _known(entry, ("model", "parameters"), where)
        sources.append(_source(entry, None, method, where))
    return (Slice(tuple(sources), {}, "models"),)


def _from_slices(slices: Any, method: str) -> tuple[Slice, ...]:
    found = []
    for where, piece in _items(slices, "slices"):
        _known(piece, ("sources", "parameters"), where)
        sources = []
        for at, entry in _items(piece.get("sources"), f"{where}.sources"):
            _known(entry, ("model", "layer_range", "parameters"), at)
            sources.append(_source(entry, _layer_range(entry.get("layer_range"), f"{at}.layer_range"), method, at))
        for source in sources:
            if source.layers != sources[0].layers:
                others = f"{list(source.layers or ())} is merged with {list(sources[0].layers or ())}"
                raise _Refused(f"{source.where}.layer_range: {others}; a recipe merges the same layer of every donor")
        found.append(Slice(tuple(sources), _parameters(piece.get("parameters"), method, f"{where}.parameters"), where))
    return tuple(found)


def _source(entry: Mapping[str, Any], layers: tuple[int, int] | None, method: str, where: str) -> Source:
    model = _model(entry.get("model"), f"{where}.model")
    return Source(model, layers, _parameters(entry.get("parameters"), method, f"{where}.parameters"), where)


def _check_models(found: Configuration, piece: Slice) -> None:
    """Whether a slice has the models that its method needs, in the way that mergekit wants them given."""
    models = [source.model for source in piece.sources]
    if len(set(models)) != len(models):
        raise _Refused(f"{piece.where}: a model is named twice; a donor takes part once")
    use, (least, most) = found.settings.base, found.settings.models
    if found.base is None and use in ("required", "ends"):
        raise _Refused(f"base_model: {found.method} needs one")
    if found.base is not None and found.base not in models:
        if piece.sources[0].layers is not None:
            raise _Refused(f"{piece.where}.sources: base_model {found.base} must be among them, as mergekit wants it")
        models.append(found.base)
    others = len(models) - (found.base is not None and use in ("required", "optional"))
    if others < least or (most is not None and others > most):
        wanted = str(least) if least == most else f"at least {least}"
        besides = " besides the base" if use in ("required", "optional") else ""
        raise _Refused(f"{piece.where}: {others} models{besides}; {found.method} takes {wanted}")


def _parameters(data: Any, method: str, where: str) -> Parameters:
    if data is None:
        return {}
    allowed = METHODS[method].parameters
    table = _table(data, where)
    _known(table, (*allowed, *WITHOUT_EFFECT), where)
    return {name: _rules(value, f"{where}.{name}") for name, value in table.items() if name in allowed}


def _rules(data: Any, where: str) -> tuple[Rule, ...]:
    if not isinstance(data, list) or not any(isinstance(entry, dict) for entry in data):
        return (Rule(None, _value(data, where), where),)
    rules = []
    for at, entry in _items(data, where):
        if "model" in entry:
            raise _Refused(f"{at}.model: it has no effect there in mergekit; write the value under models")
        _known(entry, ("filter", "value"), at)
        wanted = entry.get("filter")
        if wanted is not None and not isinstance(wanted, str):
            raise _Refused(f"{at}.filter: {wanted!r} is no text")
        if "value" not in entry:
            raise _Refused(f"{at}.value: it is missing")
        rules.append(Rule(None if wanted in (None, "*", "") else wanted, _value(entry["value"], f"{at}.value"), at))
        if rules[-1].filter is None:
            break  # mergekit takes the first entry that fits, so nothing after this one is ever used
    return tuple(rules)


def _value(data: Any, where: str) -> Value:
    if isinstance(data, list):
        if not data:
            raise _Refused(f"{where}: an empty gradient")
        numbers = tuple(float(_scalar(item, f"{where}[{index}]")) for index, item in enumerate(data))
        return numbers if len(numbers) > 1 else numbers[0]
    return _scalar(data, where)


def _scalar(data: Any, where: str) -> bool | int | float:
    if isinstance(data, str):  # YAML 1.1 reads 1e-8 as text
        try:
            data = float(data)
        except ValueError:
            raise _Refused(f"{where}: {data!r} is no number") from None
    if not isinstance(data, (bool, int, float)) or data != data or data in (float("inf"), float("-inf")):
        raise _Refused(f"{where}: {data!r} is no number")
    return data


def _layer_range(data: Any, where: str) -> tuple[int, int]:
    fits = isinstance(data, list) and len(data) == 2 and all(type(item) is int for item in data)
    if not fits or not 0 <= data[0] < data[1]:
        raise _Refused(f"{where}: {data!r} is no [first, last + 1]")
    return data[0], data[1]


def _model(data: Any, where: str) -> str:
    if not isinstance(data, str) or not data.strip():
        raise _Refused(f"{where}: {data!r} is no path or hub id")
    if "+" in data:
        raise _Refused(f"{where}: {data!r} puts a LoRA adapter on a model; merge it into its model first")
    return data.strip()


def _dtype(table: Mapping[str, Any]) -> str | None:
    """What the merged tensors are rounded to; the arithmetic here is in float32 in any case."""
    for key in ("out_dtype", "dtype"):
        if table.get(key) is not None:
            if table[key] not in DTYPES:
                raise _Refused(f"{key}: {table[key]!r} is none of {', '.join(DTYPES)}")
            return str(table[key])
    return None


def _tokenizer(source: Any, table: Any) -> str | None:
    if table is not None:
        if source is not None:
            raise _Refused("tokenizer: give either tokenizer or tokenizer_source")
        entry = _table(table, "tokenizer")
        for key in ("tokens", "pad_to_multiple_of"):
            if entry.get(key) is not None:
                raise _Refused(f"tokenizer.{key}: a recipe does not choose the rows of single tokens")
        _known(entry, ("source", "tokens", "pad_to_multiple_of"), "tokenizer")
        source = entry.get("source")
    if source is not None and not isinstance(source, str):
        raise _Refused(f"tokenizer_source: {source!r} is no text")
    return source.removeprefix("model:") if source else None


def _table(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise _Refused(f"{where}: it must be a table of keys, not {_brief(data)}")
    return {str(key): value for key, value in data.items()}


def _items(data: Any, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(data, list) or not data:
        raise _Refused(f"{where}: it must be a list, not {_brief(data)}")
    return [(f"{where}[{index}]", _table(entry, f"{where}[{index}]")) for index, entry in enumerate(data)]


def _known(table: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise _Refused(f"{where}{'.' if where else ''}{key}: unknown key; {nearest(key, allowed)}")


def _brief(data: Any) -> str:
    text = repr(data)
    return "nothing" if data is None else text if len(text) <= 60 else text[:57] + "..."
