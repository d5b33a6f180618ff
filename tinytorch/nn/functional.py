"""PyTorch's `torch.nn.functional`: names handed on from where they are taught; each looks at its first argument."""
import inspect

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
from tinytorch.nn.more_functions import *  # noqa: F403
from tinytorch.nn.normalization import layer_norm, normalize, rms_norm
from tinytorch.vocabulary import arguments

__all__ = [name for name, value in globals().items() if inspect.isfunction(value)]
globals().update({name: arguments.looking(globals()[name]) for name in __all__})
