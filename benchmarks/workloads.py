"""What is measured: transformers from a toy to a small language model, their batches, and single operations."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A pre-norm transformer with learned positions, a final norm and an untied head; MLPs are 4 x `width`."""

    name: str
    about: str
    vocabulary: int
    width: int
    blocks: int
    heads: int
    context: int
    batch: int
    norm: str = "layer_norm"  # or rms_norm
    activation: str = "gelu"  # the tanh form; or relu_squared
    bias: bool = True
    causal: bool = True


WORKLOADS = {
    workload.name: workload
    for workload in [
        Workload("W1", "reversal", 11, 32, 1, 4, 8, 32, causal=False),
        Workload("W1b", "reversal, wider", 11, 64, 2, 4, 8, 64, causal=False),
        Workload("W2", "copilot", 100, 32, 2, 2, 64, 16),
        Workload("NG", "nanoGPT on a CPU", 65, 128, 4, 4, 64, 12, bias=False),
        Workload("W3", "Shakespeare", 67, 128, 4, 8, 64, 32, "rms_norm", "relu_squared", bias=False),
        Workload("W4", "TinyStories", 8192, 256, 4, 8, 64, 16),
    ]
}
LEARNING_RATE = 1e-3


def batches(workload: Workload, count: int = 64) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same `count` random batches in every process: (inputs, targets), each (batch, context) of int64.

    Targets are noise, so that the loss stays near log(vocabulary) however long it is measured.
    """
    random = np.random.default_rng(0)
    shape = (count, 2, workload.batch, workload.context)
    return [tuple(pair) for pair in random.integers(workload.vocabulary, size=shape)]


# How cost grows: W2 with one size changed; a batch of 4 where the context grows.
GROWTH = {
    "context": (64, 128, 256, 512, 1024),
    "width": (32, 64, 128, 256),
    "blocks": (1, 2, 4, 8),
    "vocabulary": (100, 400, 1600, 6400),
    "batch": (4, 8, 16, 32, 64),
}

# The functional interface is PyTorch's, so that one line calls either library's as F.
OPERATIONS = {
    "linear": lambda F, x, weight, bias: F.linear(x, weight, bias),
    "layer_norm": lambda F, x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias),
    "rms_norm": lambda F, x, weight: F.rms_norm(x, x.shape[-1:], weight),
    "gelu": lambda F, x: F.gelu(x, approximate="tanh"),
    "softmax": lambda F, x: F.softmax(x, dim=-1),
    "cross_entropy": lambda F, x, targets: F.cross_entropy(x, targets),
    "cross_entropy W4": lambda F, x, targets: F.cross_entropy(x, targets),
    "attention": lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "attention 1024": lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "embedding": lambda F, indices, weight: F.embedding(indices, weight),
    "embedding W4": lambda F, indices, weight: F.embedding(indices, weight),
    "conv2d": lambda F, x, weight, bias: F.conv2d(x, weight, bias, padding=1),
    "conv2d LeNet 1": lambda F, x, weight, bias: F.conv2d(x, weight, bias, padding=2),
    "conv2d LeNet 2": lambda F, x, weight, bias: F.conv2d(x, weight, bias),
    "max_pool2d": lambda F, x: F.max_pool2d(x, 2),
    "batch_norm": lambda F, x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
    "AdamW": None,  # a step on the parameters of one block, with gradients that are there
}
ROWS = 32 * 64  # batch x context of W3
SHAPES = {  # of the floats that go in, then of what comes out
    "linear": [(ROWS, 128), (512, 128), (512,), (ROWS, 512)],
    "layer_norm": [(ROWS, 128), (128,), (128,), (ROWS, 128)],
    "rms_norm": [(ROWS, 128), (128,), (ROWS, 128)],
    "gelu": [(ROWS, 512), (ROWS, 512)],
    "softmax": [(32, 8, 64, 64), (32, 8, 64, 64)],
    "cross_entropy": [(ROWS, 67), ()],
    "cross_entropy W4": [(16 * 64, 8192), ()],
    "attention": [(32, 8, 64, 16)] * 4,
    "attention 1024": [(4, 2, 1024, 16)] * 4,
    "embedding": [(67, 128), (32, 64, 128)],
    "embedding W4": [(8192, 256), (16, 64, 256)],
    "conv2d": [(32, 3, 32, 32), (32, 3, 3, 3), (32,), (32, 32, 32, 32)],
    "conv2d LeNet 1": [(64, 1, 28, 28), (6, 1, 5, 5), (6,), (64, 6, 28, 28)],
    "conv2d LeNet 2": [(64, 6, 14, 14), (16, 6, 5, 5), (16,), (64, 16, 10, 10)],
    "max_pool2d": [(64, 6, 28, 28), (64, 6, 14, 14)],
    "batch_norm": [(64, 6, 28, 28), (6,), (6,), (64, 6, 28, 28)],
    "AdamW": [(384, 128), (128, 128), (512, 128), (128, 512), (128,), (128,), ()],
}


def arrays(name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The same inputs of an operation in every process, and the gradient that comes back to its output."""
    random = np.random.default_rng(0)
    *inputs, cotangent = [np.asarray(random.standard_normal(shape, np.float32)) for shape in SHAPES[name]]
    if name.startswith("cross_entropy"):
        rows, classes = inputs[0].shape
        inputs.append(random.integers(classes, size=rows))
    if name.startswith("embedding"):
        inputs.insert(0, random.integers(len(inputs[0]), size=cotangent.shape[:2]))
    return inputs, cotangent
