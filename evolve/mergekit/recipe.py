"""Writes a configuration as a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolve.errors import UsageError
from evolve.mergekit.calls import Call, call_of, written
from evolve.mergekit.gradient import AT
from evolve.mergekit.names import Names, donor_names
from evolve.mergekit.schema import Configuration, Slice
from evolve.mergekit.settings import Settings

POSITION = '''
def position(site, first, count):
    """Where a layer lies among `count` layers from `first` on: 0 the first, 1 the last; 0 outside the layers."""
    if site.layer is None:
        return 0.0
    return (site.layer - first) / (count - 1) if count > 1 else 1.0
'''


@dataclass(frozen=True)
class Converted:
    """A recipe's source and the donors that it names."""

    source: str
    donors: dict[str, str]

    def name_of(self, model: str) -> str:
        """The donor name of a model; the model itself where it is no donor."""
        return next((name for name, path in self.donors.items() if path == model), model)


@dataclass(frozen=True)
class _Piece:
    """A slice with its call; ``raw`` ones take their layers as they are from the donor called ``raw``."""

    slice: Slice
    call: Call
    raw: str | None


def convert(found: Configuration, name: str, known: Mapping[str, str] | None = None) -> Converted:
    """The recipe that computes what mergekit would; ``name`` is what its docstring calls the configuration.

    ``known`` gives the donor names of some models. Raises UsageError where layers are merged in two ways.
    """
    names = Names(taken=(found.method,))
    donors = donor_names(found.models, found.base, names, known or {})
    settings = Settings(found, donors, names)
    pieces = [_piece(found, index, donors, settings) for index in range(len(found.slices))]
    _check_owners(pieces, name)
    body = _merge(pieces) + _stack(pieces)
    methods = sorted({piece.call.function for piece in pieces} - {""})
    imports = [f"from evolve.methods import {', '.join(methods)}"] if methods else []
    imports += ["from evolve.recipe import knob"] if settings.knobs else []
    head = f"{found.method}, converted from the mergekit configuration {_plain(name)}."
    if found.dtype is not None:
        head += f"\n\nIt rounds to {found.dtype}: evolve merge with --dtype {found.dtype}.\n"
    text = [f'"""{head}"""\n']
    text += ["\n".join(imports) + "\n"] if imports else []
    listed = "\n".join(f"    {json.dumps(key)}: {json.dumps(donors_path)}," for donors_path, key in donors.items())
    text.append(f"DONORS = {{\n{listed}\n}}\n")
    if any(piece.call.graded for piece in pieces):
        text.append(AT)
        text += [POSITION] if found.slices[0].sources[0].layers is not None else []
    text.append("\n# EVOLVE-BLOCK-START")
    if settings.knobs:
        text.append("\n".join(settings.knobs) + "\n")
    text += [f"\n{function}\n" for function in settings.functions]
    text.append(f"\n{body}\n\n\n# EVOLVE-BLOCK-END\n")
    return Converted(_joined(text), {key: path for path, key in donors.items()})


def _joined(parts: list[str]) -> str:
    """Two empty lines before a definition, one elsewhere, as formatters want it."""
    text = "\n".join(parts)
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    return text.replace("# EVOLVE-BLOCK-START\n\n\n", "# EVOLVE-BLOCK-START\n")


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable() and letter not in '"\\')


def _piece(found: Configuration, index: int, donors: dict[str, str], settings: Settings) -> _Piece:
    piece = found.slices[index]
    call = call_of(found, index, donors, settings)
    moved = found.method == "passthrough" and not call.function and not _in_place(found.slices)
    return _Piece(piece, call, donors[piece.sources[0].model] if moved else None)


def _in_place(slices: Sequence[Slice]) -> bool:
    """Whether every layer stays where it was."""
    ranges = [piece.sources[0].layers for piece in slices]
    layers = [layer for limits in ranges if limits for layer in range(*limits)]
    return layers == list(range(len(layers)))


def _layers(piece: _Piece) -> range | None:
    layers = piece.slice.sources[0].layers
    return None if layers is None else range(*layers)


def _check_owners(pieces: list[_Piece], name: str) -> None:
    """merge() is called once per parameter of the donors, so a layer is merged in one way or taken as it is."""
    owners: dict[int, _Piece] = {}
    for piece in pieces:
        for layer in _layers(piece) or ():
            owner = owners.setdefault(layer, piece) if piece.raw is None else piece
            if owner is not piece and (owner.call != piece.call or piece.call.graded):
                raise UsageError(
                    f"{name}: {piece.slice.where}.sources[0].layer_range: layer {layer} is merged in another way in "
                    f"{owner.slice.where}; a recipe merges each layer once"
                )


def _merge(pieces: list[_Piece]) -> str:
    """The text of merge(): embeddings as in the first slice, final norm and head as in the last."""
    used = list(dict.fromkeys(donor for piece in _needed(pieces) for donor in piece.call.donors))
    lines = [f"def merge(site, {', '.join(used)}):", '    """Merged weight of one parameter."""']
    branches: list[tuple[str, _Piece]] = []
    for piece in pieces:
        conditions = ['site.block == "embedding"'] if piece is pieces[0] else []
        layers = _layers(piece)
        if piece.raw is None and layers is not None:
            conditions.append(f"site.layer in range({layers.start}, {layers.stop})")
        if conditions and piece is not pieces[-1]:
            branches.append((" or ".join(conditions), piece))
    branches = [branch for branch in branches if branch[1].call != pieces[-1].call or _layers(branch[1]) is not None]
    for condition, piece in branches:
        if piece.call != pieces[-1].call or piece.call.graded:
            lines += [f"    if {condition}:", *written(piece.call, _layers(piece), "        ")]
    lines += written(pieces[-1].call, _layers(pieces[-1]), "    ")
    return "\n".join(lines)


def _needed(pieces: list[_Piece]) -> list[_Piece]:
    return [piece for piece in pieces if piece.raw is None or piece in (pieces[0], pieces[-1])]


def _stack(pieces: list[_Piece]) -> str:
    """The text of stack(); nothing where the configuration names no layers."""
    runs = []
    for piece in pieces:
        layers = _layers(piece)
        if layers is None:
            return ""
        runs.append(f'        *[("{piece.raw or "merged"}", layer) for layer in range({layers.start}, {layers.stop})],')
    docstring = '    """The layers of the merged model, from the first to the last."""'
    return "\n".join(["\n\n\ndef stack(donors):", docstring, "    return [", *runs, "    ]"])
