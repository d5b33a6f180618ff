"""Attention pictures look strange: some rows are nearly empty, others very bright. It learns, but badly."""
from clinic.parts import DIGITS, Small, WrittenOut, reversal, seeded, token_loss
from tinytorch.optim import AdamW


class Attention(WrittenOut):
    def weights(self, scores):
        return scores.softmax(dim=-2)


def build(seed=0):
    seeded(seed)
    model = Small(Attention(32, 4, causal=False), DIGITS, 8)
    return {"model": model, "batch": reversal(seed), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
