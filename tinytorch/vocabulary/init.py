"""Starting values that no chapter teaches, for `nn.init`."""
import numpy as np

from tinytorch.state import default_generator
from tinytorch.vocabulary.options import checked


@checked
def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    "Fill from N(mean, std^2), drawing again what falls outside of [a, b]. Raises: ValueError for an a not below b."
    if a >= b:
        raise ValueError(f"trunc_normal_: a must be below b, got a={a}, b={b}")
    numbers, outside = np.empty(tensor.shape), np.ones(tensor.shape, bool)
    while outside.any():
        numbers[outside] = default_generator().normal(mean, std, outside.sum())
        outside = (numbers < a) | (numbers > b)
    tensor.data[...] = numbers
    return tensor


@checked
def orthogonal_(tensor, gain=1.0):
    "Fill a weight (out, ...) with rows, or columns, of length `gain` at right angles (Saxe et al. 2014)."
    rows = len(tensor)
    q, r = np.linalg.qr(default_generator().normal(size=sorted((rows, tensor.numel() // rows))[::-1]))
    q = q * np.sign(np.diag(r)) * gain
    tensor.data[...] = (q if len(q) == rows else q.T).reshape(tensor.shape)
    return tensor
