"""The model computes its loss itself, as in a well-known script. The loss is near 0 in no time; the texts are noise."""
import numpy as np

from clinic.parts import CONTEXT, VOCABULARY, Small, WrittenOut, seeded, windows
from tinytorch import Tensor
from tinytorch.nn import functional as F
from tinytorch.optim import AdamW


class ByHand(WrittenOut):
    def mask(self, scores):
        later = np.triu(np.ones(scores.shape[-2:], bool), 2)
        return scores.masked_fill(later, -1e9)


class Model(Small):
    def forward(self, ids, targets=None):
        logits = super().forward(ids)
        loss = None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss


def loss_of(model, ids):
    return model(ids[:, :-1], ids[:, 1:])[1]


def build(seed=0):
    seeded(seed)
    model = Model(ByHand(32, 4), VOCABULARY, CONTEXT)
    return {"model": model, "batch": Tensor(windows(seed)), "loss_fn": loss_of,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
