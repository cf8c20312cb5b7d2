"""A live model whose parameters are overwritten by one plan after another."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.initialization import no_init_weights

from evolve.errors import CandidateError, DonorError
from evolve.merge.checkpoint import one_line
from evolve.merge.donors import Donors
from evolve.merge.executor import Executor
from evolve.merge.sites import EMBEDDING, architecture, layer_name
from evolve.merge.stack import cumulative_scales, fold
from evolve.plan.plan import MERGED, Plan, StackEntry
from evolve.site import Site

GENERATION_CONFIG = "generation_config.json"
# Models of another depth that are kept; each takes a model's memory.
_KEPT_STACKS = 1


class Target(NamedTuple):
    """A parameter of the live model: its name, whose tensor it takes (``merged`` or a donor), the scale to fold in."""

    name: str
    source: str
    scale: float


class LiveModel:
    """The merged model of the last plan applied, on one device.

    ``model`` is an ordinary transformers model in eval mode without gradients; it changes identity when a plan has
    another depth. Before the first ``apply`` its weights are arbitrary. Not thread-safe.
    """

    def __init__(
        self,
        donors: Donors,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        tokenizer: str | Path | None = None,
    ) -> None:
        """``dtype`` None: the reference donor's on a CPU, bfloat16 elsewhere. ``tokenizer``: a donor's name or a
        folder, by default the reference donor. Raises DonorError.
        """
        self.donors = donors
        self.device = torch.device(device)
        stored = donors.reference.tensors[EMBEDDING].dtype
        self.dtype = dtype or (stored if self.device.type == "cpu" else torch.bfloat16)
        self.tokenizer_folder = _tokenizer_folder(donors, tokenizer)
        self.tokenizer = _load_tokenizer(self.tokenizer_folder)
        self._family = architecture(donors.reference.config.model_type)
        self._plain = self._build(donors.reference.config)
        self._stacked: OrderedDict[tuple[Any, ...], nn.Module] = OrderedDict()
        self.model: Any = self._plain

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.donors.sites

    @property
    def donor_layers(self) -> dict[str, int]:
        return {name: donor.layers for name, donor in self.donors.items()}

    def apply(self, plan: Plan) -> None:
        """Writes a validated plan into the model: computed in float32, rounded once into the model's dtype.

        Raises CandidateError where a merged number is not finite; the model then holds no candidate.
        """
        stack = None if plan.stack is None else _with_scales(plan.stack)
        executor = Executor(plan, self.device)
        self.model = self._plain if plan.stack is None else self._model_of(plan.stack)
        parameters = dict(self.model.named_parameters())
        written: list[tuple[str, Tensor]] = []
        with torch.no_grad():
            for site in self.sites:
                merged: Tensor | None = None
                for target in _targets(site, stack):
                    if target.source != MERGED:
                        value = self.donors[target.source].tensors[site.name].to(self.device, torch.float32)
                    else:  # a layer that the stack repeats is merged once
                        if merged is None:
                            merged = executor.compute_site(site.name, self.donors.tensors_of(site.name))
                        value = merged
                    parameter = parameters[target.name]
                    parameter.copy_(fold(value, site.role, target.scale, self._family))
                    written.append((target.name, _extremes(parameter)))
        _check_finite(written)

    def _model_of(self, stack: Sequence[StackEntry]) -> nn.Module:
        """The model of the stack's depth and layer types, built once; only the last few are kept."""
        config = self.donors.reference.config
        layer_types = getattr(config, "layer_types", None)
        chosen = [layer_types[entry.layer] for entry in stack] if layer_types else None
        if len(stack) == config.num_hidden_layers and chosen == (layer_types or None):
            return self._plain
        signature = (len(stack), *(chosen or ()))
        if signature not in self._stacked:
            while len(self._stacked) >= _KEPT_STACKS:
                self.model = self._plain
                self._stacked.popitem(last=False)
            deeper = copy.deepcopy(config)
            deeper.num_hidden_layers = len(stack)
            if chosen:
                deeper.layer_types = chosen
            self._stacked[signature] = self._build(deeper)
        self._stacked.move_to_end(signature)
        return self._stacked[signature]

    def _build(self, config: Any) -> nn.Module:
        """A model with real buffers and uninitialised parameters."""
        with torch.device(self.device), no_init_weights():
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                copy.deepcopy(config), dtype=self.dtype
            )
        if config.tie_word_embeddings:
            model.tie_weights()
        folders = (self.tokenizer_folder, self.donors.reference.path)
        model.generation_config = _generation_config(folders, model.generation_config)
        built: nn.Module = model.eval().requires_grad_(False)
        return built


def _with_scales(stack: Sequence[StackEntry]) -> list[tuple[StackEntry, float]]:
    return list(zip(stack, cumulative_scales([entry.scale for entry in stack]), strict=True))


def _targets(site: Site, stack: Sequence[tuple[StackEntry, float]] | None) -> list[Target]:
    """The parameters of the live model that are made from one site."""
    if stack is None:
        return [Target(site.name, MERGED, 1.0)]
    if site.layer is None:
        return [Target(site.name, MERGED, stack[-1][1])]
    return [
        Target(layer_name(site.name, position), entry.model, scale)
        for position, (entry, scale) in enumerate(stack)
        if entry.layer == site.layer
    ]


def _extremes(parameter: Tensor) -> Tensor:
    """Smallest and largest number, NaN where there is one; one pass, nothing allocated."""
    return torch.stack(torch.aminmax(parameter))


def _check_finite(written: Sequence[tuple[str, Tensor]]) -> None:
    finite = torch.isfinite(torch.stack([extremes for _, extremes in written])).all(dim=1)
    if bool(finite.all()):
        return
    name = written[int(finite.int().argmin())][0]
    raise CandidateError(
        f"the merged {name} has NaN or infinite numbers; avoid division by zero and keep weights moderate",
        kind="NotFinite",
    )


def _generation_config(folders: Sequence[Path], default: Any) -> Any:
    """The generation settings of the first folder that has any."""
    for folder in folders:
        if (folder / GENERATION_CONFIG).is_file():
            try:
                return GenerationConfig.from_pretrained(folder, local_files_only=True)
            except (OSError, ValueError, TypeError) as error:
                raise DonorError(
                    f"{folder / GENERATION_CONFIG} cannot be read: {one_line(error)}; remove it"
                ) from error
    return default


def _tokenizer_folder(donors: Donors, tokenizer: str | Path | None) -> Path:
    if tokenizer is None:
        return donors.reference.path
    if str(tokenizer) in donors:
        return donors[str(tokenizer)].path
    return Path(tokenizer)


def _load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise DonorError(
            f"the tokenizer in {folder} cannot be read ({one_line(error)}); name a donor that has one with "
            'tokenizer = "NAME" in the profile of problem.toml'
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer
