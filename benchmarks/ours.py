"""The workloads from the parts of this library, as any user would put them together."""

from itertools import cycle

import numpy as np

import tinytorch.nn.functional as F
from benchmarks.workloads import LEARNING_RATE, Workload, batches
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


class Encoder(nn.GPT):
    """A GPT whose positions see those behind them too."""

    def forward(self, ids):
        return self.head(nn.Transformer.forward(self, self.embed(ids)))


def build(w: Workload) -> nn.GPT:
    make = nn.GPT if w.causal else Encoder
    options = {"norm": w.norm, "activation": w.activation, "bias": w.bias, "tied_head": False}
    return make(w.vocabulary, w.context, w.width, w.blocks, w.heads, **options)


def training(workload: Workload, weights: str):
    """A function that trains one step, from `weights` (an npz file of our state_dict), and returns the loss."""
    model = build(workload)
    model.load_state_dict(np.load(weights))
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
    data = cycle([(Tensor(x), Tensor(y)) for x, y in batches(workload)])

    def step():
        inputs, targets = next(data)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step
