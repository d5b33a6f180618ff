"""PyTorch's `torch.nn.utils`: gradients clipped, and all parameters as one vector."""
import math

import numpy as np

from tinytorch import optim
from tinytorch.nn.utils import rnn
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.functions import cat, tensors_of
from tinytorch.vocabulary.options import checked


def _with_gradients(parameters):
    "Return the parameters, one Tensor or several, that have a gradient."
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p for p in tensors_of("parameters", listed) if p.grad is not None]


@checked
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scale all gradients in place so that their common norm is at most `max_norm`; return the norm before, a Tensor.
    Raises: ValueError for a norm_type but 2; RuntimeError, if `error_if_nonfinite`, for a norm of inf or nan, before
    anything changes."""
    if norm_type != 2:
        raise ValueError(f"clip_grad_norm_: norm_type is 2 here, got {norm_type}")
    parameters = _with_gradients(parameters)
    norm = optim.clip_grad_norm_(parameters, max_norm)  # one of inf or nan leaves them alone
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the norm of all gradients is {norm}")
    return Tensor(norm)


@checked
def clip_grad_value_(parameters, clip_value):
    "Hold each entry of all gradients, in place, to -clip_value .. clip_value."
    for p in _with_gradients(parameters):
        gradient = np.asarray(p.grad.data)
        np.clip(gradient, -clip_value, clip_value, out=gradient)


def parameters_to_vector(parameters):
    "Return all parameters, flattened, end to end."
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec, parameters):
    "Write the numbers of a vector into the parameters, in order. Raises: ValueError where their number differs."
    parameters = list(parameters)
    ends = np.cumsum([p.numel() for p in parameters])
    if vec.shape != (ends[-1],):
        raise ValueError(f"vector_to_parameters: got shape {vec.shape}, expected ({ends[-1]},)")
    for p, piece in zip(parameters, np.split(vec.data, ends[:-1])):
        p.data = piece.reshape(p.shape).astype(p.dtype)
