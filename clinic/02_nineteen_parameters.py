"""Gradients arrive at nearly all parameters. "18 of 19, that should do", they said. It reverses no sequence."""
import numpy as np

from clinic.parts import DIGITS, Small, WrittenOut, reversal, seeded, token_loss
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


class Embedding(nn.Embedding):
    def forward(self, indices):
        ids = np.asarray(indices.data)
        return Tensor(self.weight.data[ids])


def build(seed=0):
    seeded(seed)
    model = Small(WrittenOut(32, 4, causal=False), DIGITS, 8)
    model.token = Embedding(DIGITS, 32)
    return {"model": model, "batch": reversal(seed), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
