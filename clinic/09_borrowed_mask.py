"""The mask was copied from another project, where it worked. Here generation is nonsense."""
import numpy as np

from clinic.parts import Small, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


class Attention(nn.MultiHeadAttention):
    def forward(self, x):
        mask = np.triu(np.ones((x.shape[1], x.shape[1]), bool), 1)  # True where a key lies in the future
        return super().forward(x, attn_mask=mask)


def build(seed=0):
    seeded(seed)
    ids = windows(seed)
    model = Small(Attention(32, 4))
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
