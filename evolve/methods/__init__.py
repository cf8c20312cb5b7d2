"""The known merge methods as readable functions of tensors; a recipe may call, copy and change them."""

from evolve.methods.adamerging import adamerging
from evolve.methods.arcee_fusion import arcee_fusion
from evolve.methods.breadcrumbs import breadcrumbs, breadcrumbs_ties
from evolve.methods.compeft import compeft
from evolve.methods.consensus import consensus
from evolve.methods.dare import dare_linear, dare_ties
from evolve.methods.della import della, della_linear
from evolve.methods.fisher import fisher
from evolve.methods.iso import iso_c, iso_cts
from evolve.methods.karcher import karcher
from evolve.methods.layer_swap import layer_swap
from evolve.methods.linear import linear
from evolve.methods.model_stock import model_stock
from evolve.methods.multislerp import multislerp
from evolve.methods.nearswap import nearswap
from evolve.methods.nuslerp import nuslerp
from evolve.methods.opcm import opcm
from evolve.methods.passthrough import passthrough
from evolve.methods.pcb import pcb
from evolve.methods.perturb import perturb
from evolve.methods.ram import ram, ramplus_tl
from evolve.methods.regmean import regmean
from evolve.methods.sce import sce
from evolve.methods.slerp import slerp
from evolve.methods.sparse_sign import sparse_sign
from evolve.methods.task_arithmetic import task_arithmetic
from evolve.methods.ties import ties
from evolve.methods.tsv_merge import tsv_merge

__all__ = [
    "adamerging", "arcee_fusion", "breadcrumbs", "breadcrumbs_ties", "compeft", "consensus", "dare_linear",
    "dare_ties", "della", "della_linear", "fisher", "iso_c", "iso_cts", "karcher", "layer_swap", "linear",
    "model_stock", "multislerp", "nearswap", "nuslerp", "opcm", "passthrough", "pcb", "perturb", "ram", "ramplus_tl",
    "regmean", "sce", "slerp", "sparse_sign", "task_arithmetic", "ties", "tsv_merge",
]  # fmt: skip
