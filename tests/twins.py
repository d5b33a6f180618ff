"""Our GPT's twin, written with torch.nn: the same names in its state_dict, nothing else in common."""
import math

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, d_model, num_heads, bias, rotary):
        super().__init__()
        self.num_heads, self.rotary = num_heads, rotary
        self.in_proj = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(self, x, is_causal):
        B, T, D = x.shape
        q, k, v = (part.view(B, T, self.num_heads, -1).transpose(1, 2) for part in self.in_proj(x).split(D, dim=-1))
        if self.rotary:
            q, k = rotated(q), rotated(k)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        return self.out_proj(found.transpose(1, 2).reshape(B, T, D))


def rotated(x):
    "pairs (x[i], x[i + d/2]) as complex numbers, turned by t * 10000^(-2i/d)"
    T, d = x.shape[-2:]
    angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    pairs = torch.complex(x[..., : d // 2], x[..., d // 2:])
    turned = pairs * torch.polar(torch.ones_like(angles), angles).to(pairs.dtype)
    return torch.cat([turned.real, turned.imag], dim=-1)


def sinusoids(T, d):
    table = torch.zeros(T, d, dtype=torch.float64)
    for t in range(T):
        for i in range(0, d, 2):
            table[t, i] = math.sin(t / 10000 ** (i / d))
            if i + 1 < d:
                table[t, i + 1] = math.cos(t / 10000 ** (i / d))
    return table


class MLP(nn.Module):
    def __init__(self, d_model, hidden, activation, bias):
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(d_model, hidden, bias=bias)
        if activation == "swiglu":
            self.gate = nn.Linear(d_model, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, d_model, bias=bias)

    def forward(self, x):
        hidden = self.fc1(x)
        if self.activation == "gelu":
            hidden = F.gelu(hidden, approximate="tanh")
        elif self.activation == "relu":
            hidden = F.relu(hidden)
        elif self.activation == "relu_squared":
            hidden = F.relu(hidden) ** 2
        else:
            hidden = F.silu(self.gate(x)) * hidden
        return self.fc2(hidden)


def make_norm(norm, d_model, bias):
    return nn.LayerNorm(d_model, bias=bias) if norm == "layer_norm" else nn.RMSNorm(d_model)


class Block(nn.Module):
    def __init__(self, d_model, num_heads, hidden, activation, norm, pre_norm, bias, rotary):
        super().__init__()
        self.pre_norm = pre_norm
        self.norm1 = make_norm(norm, d_model, bias)
        self.attention = Attention(d_model, num_heads, bias, rotary)
        self.norm2 = make_norm(norm, d_model, bias)
        self.mlp = MLP(d_model, hidden, activation, bias)

    def forward(self, x, is_causal=True):
        if self.pre_norm:
            x = x + self.attention(self.norm1(x), is_causal)
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x, is_causal))
        return self.norm2(x + self.mlp(x))


class GPT(nn.Module):
    def __init__(self, vocab_size, context, d_model, num_layers, num_heads, positions="learned", norm="layer_norm",
                 activation="gelu", pre_norm=True, bias=True, tied_head=True):
        super().__init__()
        self.positions = positions
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        if positions == "learned":
            self.position_embedding = nn.Embedding(context, d_model)
        hidden = round(8 * d_model / 3) if activation == "swiglu" else 4 * d_model
        self.transformer = nn.Module()
        self.transformer.blocks = nn.ModuleList(
            Block(d_model, num_heads, hidden, activation, norm, pre_norm, bias, positions == "rotary")
            for _ in range(num_layers))
        self.transformer.norm = make_norm(norm, d_model, bias) if pre_norm else nn.Identity()
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        if tied_head:
            self.head.weight = self.token_embedding.weight

    def forward(self, ids):
        x = self.token_embedding(ids)
        T, d = x.shape[-2:]
        if self.positions == "learned":
            x = x + self.position_embedding.weight[:T]
        elif self.positions == "sinusoidal":
            x = x * math.sqrt(d) + sinusoids(T, d).to(x.dtype)
        for block in self.transformer.blocks:
            x = block(x)
        return self.head(self.transformer.norm(x))


def twin_of(model, **options):
    "A twin of our GPT `model`, which was made with `options`: the same numbers in the same dtype."
    twin = GPT(**options).to(getattr(torch, str(model.token_embedding.weight.dtype)))
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in model.state_dict().items()})
    return twin
