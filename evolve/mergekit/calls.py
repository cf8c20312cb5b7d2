"""The call of a merge method for one slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolve.errors import UsageError
from evolve.mergekit.schema import Configuration, Rule, Source
from evolve.mergekit.settings import Settings

LINE_LENGTH = 116


@dataclass(frozen=True)
class Call:
    """``function(arguments)`` on some donors, after the lines ``before``; ``graded`` ones need ``depth``."""

    function: str
    arguments: tuple[str, ...]
    donors: tuple[str, ...]
    graded: bool = False
    before: tuple[str, ...] = ()


def written(call: Call, layers: range | None, indent: str) -> list[str]:
    """The lines that return the call's value; ``layers`` are those of its slice, by which depth is measured."""
    lines = []
    if call.graded:
        plain = "depth = 0.0 if site.layer is None else site.depth"
        lines.append(plain if layers is None else f"depth = position(site, {layers.start}, {len(layers)})")
    lines += call.before
    if not call.function:
        lines.append(f"return {call.donors[0]}")
    elif len(text := f"return {call.function}({', '.join(call.arguments)})") + len(indent) <= LINE_LENGTH:
        lines.append(text)
    else:
        lines += [f"return {call.function}(", *(f"    {argument}," for argument in call.arguments), ")"]
    return [indent + line for line in lines]


def call_of(found: Configuration, index: int, donors: dict[str, str], settings: Settings) -> Call:
    """The call that merges a slice as mergekit does. Raises UsageError for what the method here cannot do."""
    return _Writer(found, index, donors, settings).call()


class _Writer:
    def __init__(self, found: Configuration, index: int, donors: dict[str, str], settings: Settings) -> None:
        self.found = found
        self.index = index
        self.settings = settings
        self.graded = False
        sources = list(found.slices[index].sources)
        if found.base is not None and all(source.model != found.base for source in sources):
            # mergekit adds the base to the inputs; where it is one of them it takes part with its own parameters.
            sources.insert(0, Source(found.base, None, {}, "base_model"))
        apart = found.settings.base != "input"
        self.sources = [source for source in sources if not (apart and source.model == found.base)]
        self.base = donors[found.base] if found.base is not None and apart else None
        self.tensors = [donors[source.model] for source in self.sources]
        self.donors = tuple(([self.base] if self.base else []) + self.tensors)

    def call(self) -> Call:
        method = self.found.method
        if method == "passthrough":
            return self._passthrough()
        if method in ("slerp", "nearswap"):
            return self._made([str(self.base), *self.tensors, self._one("t")])
        if method == "arcee_fusion":
            return self._made([str(self.base), *self.tensors])
        if method == "nuslerp":
            return self._nuslerp()
        if method in ("multislerp", "karcher"):
            return self._centre()
        return self._task_vectors()

    def _made(self, arguments: Sequence[str], before: Sequence[str] = ()) -> Call:
        return Call(self.found.method, tuple(arguments), self.donors, self.graded, tuple(before))

    def _one(self, name: str) -> str:
        """A parameter of the whole merge."""
        text, graded = self.settings.expression(self.index, None, name)
        self.graded |= graded
        return text

    def _each(self, name: str) -> list[str]:
        """A parameter of every model; empty texts where mergekit's default holds."""
        texts = []
        for source in self.sources:
            text, graded = self.settings.expression(self.index, source, name)
            self.graded |= graded
            texts.append(text)
        if not any(texts):
            return []
        default = self.found.settings.parameters[name].default
        return [text or repr(default) for text in texts]

    def _listed(self, name: str) -> str:
        """One number for all models, or a list."""
        texts = self._each(name)
        return texts[0] if len(set(texts)) == 1 else f"[{', '.join(texts)}]"

    def _passthrough(self) -> Call:
        scales = self._each("scale")
        if not scales:
            return Call("", (), self.donors)
        return self._made([self.tensors[0], scales[0]])

    def _nuslerp(self) -> Call:
        first, second = self._each("weight")
        arguments = [*self.tensors, f"{second} / ({first} + {second})"]
        if self.base is not None:
            arguments.append(f"base={self.base}")
        if not self.settings.constant(self.index, "nuslerp_flatten"):
            # Observed in 0.1.5: row-wise takes the vectors that run across the rows, which are columns here.
            rows = self.settings.constant(self.index, "nuslerp_row_wise")
            arguments.append(f'along="{"columns" if rows else "rows"}"')
        return self._made(arguments)

    def _centre(self) -> Call:
        """multislerp and karcher."""
        arguments = [f"[{', '.join(self.tensors)}]"]
        if self.found.method == "karcher":
            iterations, tolerance = (self.settings.constant(self.index, name) for name in ("max_iter", "tol"))
            arguments += [f"iterations={iterations}"] if iterations != 10 else []
            arguments += [f"tolerance={tolerance}"] if tolerance != 1e-5 else []
            return self._made(arguments)
        if self.settings.constant(self.index, "eps") != 1e-8:
            raise UsageError("parameters.eps: multislerp uses 1e-8 here; remove the key")
        arguments.append(self._listed("weight"))
        arguments += [f"base={self.base}"] if self.base else []
        arguments += [] if self.settings.constant(self.index, "normalize_weights") else ["normalize=False"]
        return self._made(arguments)

    def _task_vectors(self) -> Call:
        """linear and the methods that take a base, a list of tensors and keywords."""
        arguments = [self.base] if self.base is not None else []
        arguments.append(f"[{', '.join(self.tensors)}]")
        before: list[str] = []
        for name in self.found.settings.parameters:
            if name == "weight":
                arguments.append(self._weights(before))
            else:
                arguments += self._keyword(name)
        return self._made(arguments, before)

    def _weights(self, before: list[str]) -> str:
        if not self.found.settings.divides or not self.settings.constant(self.index, "normalize"):
            return self._listed("weight")
        before.append(f"weights = [{', '.join(self._each('weight'))}]")
        return "[weight / sum(weights) for weight in weights]"

    def _keyword(self, name: str) -> list[str]:
        """A keyword argument, or nothing where the method's own default is mergekit's."""
        parameter = self.found.settings.parameters[name]
        if parameter.bounds is None:
            value: object = self.settings.constant(self.index, name)
            if name == "normalize" and self.found.settings.divides:
                return []
            if name == "rescale":
                value = "l1" if value else False
            own = True if name == "rescale" else parameter.default if parameter.given is None else parameter.given
            return [] if value == own else [f"{parameter.argument}={value!r}".replace("'", '"')]
        if not parameter.per_model:
            text = self._one(name)
        elif name == "epsilon":
            return self._epsilon()
        else:
            text = self._listed(name) if self._each(name) else ""
        if not text:
            return [f"{parameter.argument}={parameter.default!r}"] if parameter.must_be_written else []
        return [f"{parameter.argument}={text}"]

    def _epsilon(self) -> list[str]:
        """mergekit counts epsilon to each side of the density; here it is the whole width, for all models."""
        texts = self._each("epsilon")
        chains = [self.settings.chain(self.index, source, "epsilon") for source in self.sources]
        if any(_numbers(chain) != _numbers(chains[0]) for chain in chains):
            raise UsageError(f"{self.sources[0].where}.parameters.epsilon: it must be the same for all models here")
        return [f"epsilon=2 * {texts[0]}"] if texts else []


def _numbers(chain: Sequence[tuple[Rule, tuple[str, ...]]]) -> list[tuple[str | None, object]]:
    return [(rule.filter, rule.value) for rule, _ in chain]
