"""A very low loss, and what it writes has nothing to do with the prompt."""
import numpy as np

from clinic.parts import Small, WrittenOut, seeded, token_loss, windows
from tinytorch import Tensor
from tinytorch.optim import AdamW


class Attention(WrittenOut):
    def mask(self, scores):
        hidden = np.tril(np.ones(scores.shape[-2:], bool), -1)
        return scores.masked_fill(hidden, -np.inf)


def build(seed=0):
    seeded(seed)
    ids = windows(seed)
    model = Small(Attention(32, 4))
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
