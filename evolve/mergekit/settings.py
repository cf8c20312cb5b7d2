"""The numbers of a configuration as expressions of a recipe: knobs, gradients, and functions for filters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from evolve.errors import UsageError
from evolve.mergekit.methods import Parameter
from evolve.mergekit.names import Names
from evolve.mergekit.schema import Configuration, Rule, Source


class Settings:
    """Collects the ``knobs`` (lines) and ``functions`` (texts) that a recipe needs while its calls are written."""

    def __init__(self, found: Configuration, donors: Mapping[str, str], names: Names) -> None:
        self.knobs: list[str] = []
        self.functions: list[str] = []
        self._found = found
        self._donors = donors
        self._names = names
        self._variables: dict[str, str] = {}
        self._calls: dict[tuple[str, ...], str] = {}

    def chain(self, index: int, source: Source | None, name: str) -> list[tuple[Rule, tuple[str, ...]]]:
        """The rules for a parameter in a slice, most important first, up to the first that fits everything.

        Each comes with the words of its variable's name. ``source`` None: a parameter of the whole merge.
        """
        piece = self._found.slices[index]
        slices = (f"slice{index + 1}",) if len(self._found.slices) > 1 else ()
        levels: list[tuple[Sequence[Rule], tuple[str, ...]]] = []
        if source is not None:
            levels.append((source.parameters.get(name, ()), (*slices, self._donors[source.model], name)))
        levels += [
            (piece.parameters.get(name, ()), (*slices, name)),
            (self._found.parameters.get(name, ()), (name,)),
        ]
        found = []
        for rules, words in levels:
            for rule in rules:
                found.append((rule, words))
                if rule.filter is None:
                    return found
        return found

    def expression(self, index: int, source: Source | None, name: str) -> tuple[str, bool]:
        """What stands for a parameter in the call, and whether it needs ``depth``.

        The text is empty where mergekit's default holds. Raises UsageError for a parameter that must be given.
        """
        parameter = self._found.settings.parameters[name]
        chain = self.chain(index, source, name)
        if not chain:
            if parameter.default is None:
                where = source.where if source else self._found.slices[index].where
                raise UsageError(f"{where}.parameters.{name}: it is missing; {self._found.method} needs it")
            return "", False
        graded = any(isinstance(rule.value, tuple) for rule, _ in chain)
        if len(chain) == 1 and chain[0][0].filter is None:
            return self._value(chain[0][0], chain[0][1], parameter), graded
        return self._call(chain, parameter, name, graded), graded

    def constant(self, index: int, name: str) -> bool | int | float:
        """A parameter that is the same for all tensors. Raises UsageError where filters or gradients vary it."""
        chain = self.chain(index, None, name)
        if not chain:
            default = self._found.settings.parameters[name].default
            assert default is not None
            return default
        rule = chain[0][0]
        if rule.filter is not None or isinstance(rule.value, tuple):
            raise UsageError(f"{rule.where}: {name} must be one value for all tensors")
        return rule.value

    def _value(self, rule: Rule, words: tuple[str, ...], parameter: Parameter) -> str:
        if rule.where not in self._variables:
            suffix = () if rule.filter is None else (rule.filter,)
            name = self._names.new(*("scale" if word == "lambda" else word for word in words), *suffix)
            self._variables[rule.where] = name
            self.knobs.append(_knob(name, rule, parameter))
        name = self._variables[rule.where]
        return f"at({name}, depth)" if isinstance(rule.value, tuple) else name

    def _call(
        self, chain: Sequence[tuple[Rule, tuple[str, ...]]], parameter: Parameter, name: str, graded: bool
    ) -> str:
        """A function with one branch per filter, written once."""
        key = tuple(rule.where for rule, _ in chain)
        if key not in self._calls:
            function = self._names.new(*("scale" if word == "lambda" else word for word in chain[0][1]), "here")
            lines = [f"def {function}(site{', depth' if graded else ''}):", f'    """{name} of one parameter."""']
            for rule, words in chain:
                value = self._value(rule, words, parameter)
                if rule.filter is None:
                    lines.append(f"    return {value}")
                else:
                    lines += [f"    if {json.dumps(rule.filter)} in site.name:", f"        return {value}"]
            if chain[-1][0].filter is not None:
                if parameter.default is None:
                    lines.append(f'    raise ValueError(f"no filter of {name} fits {{site.name}}")')
                else:
                    lines.append(f"    return {parameter.default!r}")
            self.functions.append("\n" + "\n".join(lines))
            self._calls[key] = f"{function}(site{', depth' if graded else ''})"
        return self._calls[key]


def _knob(name: str, rule: Rule, parameter: Parameter) -> str:
    assert parameter.bounds is not None
    numbers = [float(number) for number in (rule.value if isinstance(rule.value, tuple) else (rule.value,))]
    low, high = parameter.bounds
    low = low if min(numbers) >= low else 2 * min(numbers)
    high = high if max(numbers) <= high else 2 * max(numbers)
    value = numbers if isinstance(rule.value, tuple) else numbers[0]
    return f'{name} = knob("{name}", {value!r}, low={low!r}, high={high!r})'
