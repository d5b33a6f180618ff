"""The workloads from the parts of this library, as any user would put them together."""

from itertools import cycle
from types import SimpleNamespace

import numpy as np

import tinytorch.nn.functional as F
from benchmarks.workloads import LEARNING_RATE, OPERATIONS, Workload, arrays, batches
from tinytorch import Tensor, nn, no_grad
from tinytorch.generation import KVCache, next_logits
from tinytorch.optim import AdamW
from tinytorch.threads import chosen_threads
from tinytorch.training import accumulate_gradients


class Encoder(nn.GPT):
    """A GPT whose positions see those behind them too."""

    def forward(self, ids):
        return self.head(self.transformer(self.embed(ids)))


def build(w: Workload) -> nn.GPT:
    config = nn.GPTConfig(vocab_size=w.vocabulary, context=w.context, d_model=w.width, num_layers=w.blocks,
                          num_heads=w.heads, norm=w.norm, activation=w.activation, bias=w.bias, tied_head=False)
    return nn.GPT(config) if w.causal else Encoder(config)


def weights_of(workload: Workload) -> dict[str, np.ndarray]:
    """The weights that every variant starts from, under the names of `reference.py`."""
    return {name.removeprefix("transformer."): array for name, array in build(workload).state_dict().items()}


def load(workload: Workload, weights: str) -> nn.GPT:
    model, arrays = build(workload), np.load(weights)
    model.load_state_dict({name: arrays[name.removeprefix("transformer.")] for name in model.state_dict()})
    return model


def training(workload: Workload, weights: str, variant: str = "numpy"):
    """A function that trains one step, from `weights` (an npz file of our state_dict), and returns the loss."""
    model = load(workload, weights)
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
    data = cycle([(Tensor(x), Tensor(y)) for x, y in batches(workload)])
    chosen = SimpleNamespace(threads="auto")

    def loss_of(model, inputs, targets):
        return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    def shared_step():
        parts = model, [next(data)], loss_of
        loss = accumulate_gradients(*parts, chosen_threads(chosen, *parts))
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def step():
        inputs, targets = next(data)
        loss = loss_of(model, inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return shared_step if variant.endswith("threads") else step


def generation(workload: Workload, weights: str, variant: str):
    """A function that reads a text (1, T) token by token and returns the logits behind each, (T, vocabulary)."""
    model = load(workload, weights).eval()

    def read(ids):
        with no_grad():
            cache = None if variant.endswith("uncached") else KVCache(model)
            return np.concatenate([next_logits(model, ids[:, :end], cache) for end in range(1, 1 + ids.shape[1])])

    return read


def operation(name: str, variant: str = "numpy"):
    """A function that computes an operation and its gradients, and returns all of them as arrays."""
    call, inputs, cotangent = OPERATIONS[name], *arrays(name)
    inputs = [Tensor(x, requires_grad=x.dtype == np.float32) for x in inputs]
    leaves = [x for x in inputs if x.requires_grad]
    if name == "AdamW":
        return adamw(leaves)
    cotangent = Tensor(cotangent)

    def step():
        for leaf in leaves:
            leaf.grad = None
        out = call(F, *inputs)
        out.backward(cotangent)
        return [out.data, *(leaf.grad.data for leaf in leaves)]

    return step


def adamw(parameters):
    """A step of AdamW on gradients that stay as they are."""
    for p in parameters:
        p.grad = p.data.copy()
    optimizer = AdamW(parameters, lr=LEARNING_RATE)

    def step():
        optimizer.step()
        return [p.data for p in parameters]

    return step
