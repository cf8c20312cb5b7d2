"""The known merge methods as readable functions of tensors; a recipe may call, copy and change them."""

from evolve.methods.dare import dare_linear, dare_ties
from evolve.methods.layer_swap import layer_swap
from evolve.methods.linear import linear
from evolve.methods.slerp import slerp
from evolve.methods.task_arithmetic import task_arithmetic
from evolve.methods.ties import ties

__all__ = ["dare_linear", "dare_ties", "layer_swap", "linear", "slerp", "task_arithmetic", "ties"]
