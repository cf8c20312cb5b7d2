"""A live model whose parameters are overwritten by one plan after another."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.initialization import no_init_weights

from evolve.donors.checkpoint import one_line
from evolve.donors.donors import Donors
from evolve.donors.sites import EMBEDDING, architecture, layer_name
from evolve.errors import CandidateError, DonorError
from evolve.execute.executor import Executor
from evolve.execute.sitework import all_finite
from evolve.execute.workspace import Workspace
from evolve.merge.held import Held
from evolve.merge.stack import cumulative_scales, fold
from evolve.plan.plan import MERGED, Plan, StackEntry
from evolve.site import Site

GENERATION_CONFIG = "generation_config.json"
# Models of another depth that are kept; each takes a model's memory.
_KEPT_STACKS = 1
# What may be kept from candidate to candidate (thresholds, sums, order tables), as a share of the donors' bytes.
_KEPT_SHARE = 0.055
_LEAST_KEPT_BYTES = 2**24


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
        *,
        statistics: Callable[[str, str, str], Tensor] | None = None,
    ) -> None:
        """``dtype`` None: the reference donor's on a CPU, bfloat16 elsewhere. ``tokenizer``: a donor's name or a
        folder, by default the one that fits the donors. ``statistics`` gives (donor, statistic, site) to plans that
        read them. Raises DonorError.
        """
        self.donors = donors
        self.statistics = statistics
        self.device = torch.device(device)
        stored = donors.reference.tensors[EMBEDDING].dtype
        self.dtype = dtype or (stored if self.device.type == "cpu" else torch.bfloat16)
        self.tokenizer_folder = _tokenizer_folder(donors, tokenizer)
        self.tokenizer = _load_tokenizer(self.tokenizer_folder)
        self._family = architecture(donors.reference.config.model_type)
        self._plain = self._build(donors.reference.config)
        self._stacked: OrderedDict[tuple[Any, ...], nn.Module] = OrderedDict()
        self._held: WeakKeyDictionary[nn.Module, Held] = WeakKeyDictionary()
        self._workspace = Workspace(max(_LEAST_KEPT_BYTES, int(_KEPT_SHARE * _size_bytes(donors))))
        self.model: Any = self._plain

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.donors.sites

    @property
    def donor_layers(self) -> dict[str, int]:
        return {name: donor.layers for name, donor in self.donors.items()}

    def apply(self, plan: Plan) -> None:
        """Writes a validated plan into the model: computed in float32, rounded once into the model's dtype.

        Parameters that hold what the plan asks for already are left alone. Raises CandidateError where a merged number
        is not finite; the model then holds no candidate.
        """
        stack = None if plan.stack is None else _with_scales(plan.stack)
        executor = Executor(plan, self.device, self._workspace, self.statistics)
        executor.gather(self.donors.tensors_of)
        self.model = self._plain if plan.stack is None else self._model_of(plan.stack)
        parameters = dict(self.model.named_parameters())
        held = self._held.setdefault(self.model, Held())
        finite: dict[str, bool | Tensor] = {}
        written: dict[str, Hashable] = {}
        with torch.no_grad():
            for site in self.sites:
                targets = _targets(site, stack)
                keys = [_key(executor, site, target) for target in targets]
                stale = [
                    (target, key)
                    for target, key in zip(targets, keys, strict=True)
                    if not held.holds(target.name, key, parameters[target.name])
                ]
                for target, _ in stale:
                    held.forget(target.name)
                self._write(executor, site, [target for target, _ in stale], parameters, finite)
                written.update((target.name, key) for target, key in stale)
        broken = [name for name, fine in finite.items() if not bool(fine)]
        for name in written.keys() - broken:
            held.note(name, written[name], parameters[name])
        if broken:
            raise CandidateError(
                f"the merged {broken[0]} has NaN or infinite numbers; avoid division by zero and keep weights moderate",
                kind="NotFinite",
            )

    def _write(
        self,
        executor: Executor,
        site: Site,
        targets: Sequence[Target],
        parameters: Mapping[str, Tensor],
        finite: dict[str, bool | Tensor],
    ) -> None:
        """Writes the parameters that are made from one site; a layer that the stack repeats is merged once."""
        merged: Tensor | None = None
        tensors = self.donors.tensors_of(site.name)
        for target in targets:
            parameter = parameters[target.name]
            if target.source == MERGED and target.scale == 1.0 and len(targets) == 1 and parameter.is_contiguous():
                finite[target.name] = executor.write_site(site.name, tensors, parameter)
                continue
            if target.source != MERGED:
                value = tensors[target.source].to(self.device, torch.float32)
            else:
                if merged is None:
                    merged = executor.compute_site(site.name, tensors)
                value = merged
            parameter.copy_(fold(value, site.role, target.scale, self._family))
            finite[target.name] = all_finite(parameter)

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


def _size_bytes(donors: Donors) -> int:
    """Bytes of the donors as two bytes a parameter, however they are stored."""
    return 2 * len(donors) * sum(math.prod(site.shape) for site in donors.sites)


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


def _key(executor: Executor, site: Site, target: Target) -> Hashable:
    """What the parameter is to hold: whose numbers of which site, with which scale folded in."""
    source = executor.site_key(site.name) if target.source == MERGED else target.source
    return (site.name, source, target.scale)


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


def load_tokenizer(donors: Donors, tokenizer: str | Path | None = None) -> Any:
    """The tokenizer of a live model, without the model. Raises DonorError."""
    return _load_tokenizer(_tokenizer_folder(donors, tokenizer))


def _tokenizer_folder(donors: Donors, tokenizer: str | Path | None) -> Path:
    if tokenizer is None:
        return donors.tokenizer
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
