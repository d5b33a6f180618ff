"""The workloads in PyTorch, eager, from its own parts; attributes are named as ours, so that a state_dict fits."""

from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.workloads import LEARNING_RATE, Workload, batches


class Attention(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.heads, self.causal = w.heads, w.causal
        self.in_proj = nn.Linear(w.width, 3 * w.width, bias=w.bias)
        self.out_proj = nn.Linear(w.width, w.width, bias=w.bias)

    def forward(self, x):
        B, T, C = x.shape
        qkv = self.in_proj(x).view(B, T, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
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

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, w: Workload):
        super().__init__()
        self.token_embedding = nn.Embedding(w.vocabulary, w.width)
        self.position_embedding = nn.Embedding(w.context, w.width)
        self.blocks = nn.Sequential(*[Block(w) for _ in range(w.blocks)])
        self.norm = norm(w)
        self.head = nn.Linear(w.width, w.vocabulary, bias=False)

    def forward(self, indices):
        x = self.token_embedding(indices) + self.position_embedding.weight[: indices.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def norm(w: Workload):
    return nn.LayerNorm(w.width, bias=w.bias) if w.norm == "layer_norm" else nn.RMSNorm(w.width)


def training(workload: Workload, weights: str, fused: bool = False):
    """A function that trains one step, from `weights` (an npz file of our state_dict), and returns the loss."""
    model = Model(workload)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in np.load(weights).items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=fused or None)
    data = cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(workload)])

    def step():
        inputs, targets = next(data)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step
