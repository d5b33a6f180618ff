"""The workloads in PyTorch, eager, from its own parts; attributes are named as ours, so that a state_dict fits."""

from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.workloads import LEARNING_RATE, OPERATIONS, Workload, arrays, batches


class Attention(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.heads, self.causal = w.heads, w.causal
        self.in_proj = nn.Linear(w.width, 3 * w.width, bias=w.bias)
        self.out_proj = nn.Linear(w.width, w.width, bias=w.bias)

    def forward(self, x, cache=None):
        B, T, C = x.shape
        qkv = self.in_proj(x).view(B, T, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        if cache is not None:
            k, v = cache.append(k, v)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal and cache is None)
        return self.out_proj(x.transpose(1, 2).reshape(B, T, C))


class MLP(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.activation = w.activation
        self.fc1 = nn.Linear(w.width, 4 * w.width, bias=w.bias)
        self.fc2 = nn.Linear(4 * w.width, w.width, bias=w.bias)

    def forward(self, x):
        x = self.fc1(x)
        x = F.gelu(x, approximate="tanh") if self.activation == "gelu" else F.relu(x).square()
        return self.fc2(x)


class Block(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.norm1, self.attention = norm(w), Attention(w)
        self.norm2, self.mlp = norm(w), MLP(w)

    def forward(self, x, cache=None):
        x = x + self.attention(self.norm1(x), cache)
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.token_embedding = nn.Embedding(w.vocabulary, w.width)
        self.position_embedding = nn.Embedding(w.context, w.width)
        self.blocks = nn.ModuleList(Block(w) for _ in range(w.blocks))
        self.norm = norm(w)
        self.head = nn.Linear(w.width, w.vocabulary, bias=False)

    def forward(self, indices, caches=None):
        start = 0 if caches is None else caches[0].length
        places = self.position_embedding.weight[start : start + indices.shape[1]]
        x = self.token_embedding(indices) + places
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return self.head(self.norm(x))


class Cache:
    """Keys and values of one layer, in room allocated once; tokens come one at a time."""

    def __init__(self, w: Workload):
        self.keys, self.values = torch.empty(2, 1, w.heads, w.context, w.width // w.heads)
        self.length = 0

    def append(self, key, value):
        self.keys[:, :, self.length], self.values[:, :, self.length] = key[:, :, 0], value[:, :, 0]
        self.length += 1
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


def norm(w: Workload):
    return nn.LayerNorm(w.width, bias=w.bias) if w.norm == "layer_norm" else nn.RMSNorm(w.width)


def load(workload: Workload, weights: str) -> Model:
    model = Model(workload)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in np.load(weights).items()})
    return model


def training(workload: Workload, weights: str, variant: str = "eager"):
    """A function that trains one step, from `weights` (an npz file of our state_dict), and returns the loss."""
    model = load(workload, weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=variant == "fused" or None)
    data = cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload)])
    if variant == "compile":
        model = torch.compile(model)

    def step():
        inputs, targets = next(data)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def generation(workload: Workload, weights: str, variant: str):
    """A function that reads a text (1, T) token by token and returns the logits behind each, (T, vocabulary)."""
    model = load(workload, weights).eval()

    @torch.inference_mode()
    def read(ids):
        ids = torch.from_numpy(ids)
        ends = range(1, 1 + ids.shape[1])
        if variant == "eager uncached":
            return torch.cat([model(ids[:, :end])[:, -1] for end in ends]).numpy()
        caches = [Cache(workload) for _ in model.blocks]
        return torch.cat([model(ids[:, end - 1 : end], caches)[:, -1] for end in ends]).numpy()

    return read


def operation(name: str, variant: str = "eager"):
    """A function that computes an operation and its gradients, and returns all of them as arrays."""
    call, inputs, cotangent = OPERATIONS[name], *arrays(name)
    inputs = [torch.from_numpy(x).requires_grad_(x.dtype == np.float32) for x in inputs]
    leaves = [x for x in inputs if x.requires_grad]
    if name == "AdamW":
        return adamw(leaves)
    cotangent = torch.from_numpy(cotangent)

    def step():
        for leaf in leaves:
            leaf.grad = None
        out = call(F, *inputs)
        out.backward(cotangent)
        return [out.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    return step


def adamw(parameters):
    """A step of AdamW on gradients that stay as they are."""
    for p in parameters:
        p.grad = p.detach().clone()
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)

    def step():
        optimizer.step()
        return [p.detach().numpy() for p in parameters]

    return step
