"""Stories, a vocabulary of 8,192 words. Everything is connected, the loss falls, but accuracy stays at 0.002 %."""
import numpy as np

from clinic.parts import seeded, token_loss
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


def build(seed=0):
    seeded(seed)
    ids = np.minimum(np.random.default_rng(seed).zipf(1.2, (16, 17)) - 1, 8191)
    model = nn.GPT(nn.GPTConfig(vocab_size=8192, context=16, d_model=32, num_layers=2, num_heads=4))
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=3e-4)}
