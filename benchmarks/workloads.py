"""What is measured: transformers from a toy to a small language model, and the batches they train on."""

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
