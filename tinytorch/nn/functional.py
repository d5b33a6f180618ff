"""PyTorch's `torch.nn.functional`: names handed on from where they are taught; each looks at its first argument."""
import functools
import inspect

import numpy as np

from tinytorch.nn.activations import (
    gelu, leaky_relu, log_softmax, logsigmoid, relu, relu_squared, sigmoid, silu, softmax, softplus, tanh,
)
from tinytorch.nn.attention import scaled_dot_product_attention
from tinytorch.nn.convolution import avg_pool1d, avg_pool2d, batch_norm
from tinytorch.nn.embedding import embedding
from tinytorch.nn.layers import dropout, linear
from tinytorch.nn.losses import (
    binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss, nll_loss,
)
from tinytorch.nn.more_functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    celu,
    conv1d,
    conv2d,
    cosine_similarity,
    elu,
    glu,
    group_norm,
    hardsigmoid,
    hardtanh,
    huber_loss,
    kl_div,
    max_pool1d,
    max_pool2d,
    mish,
    one_hot,
    pad,
    pairwise_distance,
    relu6,
    selu,
    smooth_l1_loss,
    softmin,
    softsign,
    tanhshrink,
)
from tinytorch.nn.normalization import layer_norm, normalize, rms_norm
from tinytorch.vocabulary.methods import Vocabulary

__all__ = [name for name, value in globals().items() if inspect.isfunction(value)]


def _looking(function):
    "Return `function`, which names its first argument if that is no Tensor (or array, or list of indices)."
    name = next(iter(inspect.signature(function).parameters))
    taken = (Vocabulary, np.ndarray, list) if function.__name__ == "embedding" else (Vocabulary, np.ndarray)

    @functools.wraps(function)
    def call(*args, **options):
        if args and not isinstance(args[0], taken):
            raise TypeError(f"{function.__name__}: {name}: expected a Tensor, got {type(args[0]).__name__}")
        return function(*args, **options)
    return call


globals().update({name: _looking(globals()[name]) for name in __all__})
