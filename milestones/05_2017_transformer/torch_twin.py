"""The model of tinystories.py in PyTorch: from the same weights, on the same batches, it must end at the same loss.

It needs PyTorch (pip install torch), and only --twin imports it. Names are those of `nn.GPT`, so that weights fit.
"""
import time

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = self.in_proj(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, T, D/H)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    "A model of an `nn.GPTConfig` with layer norms, GELU, biases and learned positions."
    def __init__(self, config):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.context, config.d_model)
        self.transformer = nn.Module()
        blocks = (Block(config.d_model, config.num_heads) for _ in range(config.num_layers))
        self.transformer.blocks = nn.ModuleList(blocks)
        self.transformer.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_head:
            self.head.weight = self.token_embedding.weight

    def forward(self, ids):
        x = self.token_embedding(ids) + self.position_embedding.weight[:ids.shape[1]]
        for block in self.transformer.blocks:
            x = block(x)
        return self.head(self.transformer.norm(x))


def loss_of(model, ids, targets, smoothing=0.0):
    logits = model(torch.from_numpy(ids.data))
    return F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets.data).flatten(), label_smoothing=smoothing)


def trained_twin(trainer, smoothing):
    """Train a twin of the untrained model of `trainer` as that would be; return (model, milliseconds a step).

    It uses up the trainer's batches, and so the random numbers that draw them.
    """
    model = GPT(trainer.model.config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in trainer.model.state_dict().items()})
    group = trainer.optimizer.param_groups[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=group["betas"], eps=group["eps"],
                                  weight_decay=group["weight_decay"])
    batches, start = iter(trainer.loader), time.perf_counter()
    for _ in range(trainer.steps):
        for setting in optimizer.param_groups:
            setting["lr"] = trainer.optimizer.param_groups[0]["lr"]
        trainer.schedule.step()
        for _ in range(trainer.accumulate):
            (loss_of(model, *next(batches), smoothing) / trainer.accumulate).backward()
        nn.utils.clip_grad_norm_(model.parameters(), trainer.max_norm)
        optimizer.step()
        optimizer.zero_grad()
    return model, 1000 * (time.perf_counter() - start) / trainer.steps


@torch.no_grad()
def held_out_loss(model, loader):
    "Return the mean over all examples of `loader`."
    sums = [(loss_of(model, ids, targets).item() * len(ids), len(ids)) for ids, targets in loader]
    return sum(total for total, _ in sums) / sum(n for _, n in sums)
