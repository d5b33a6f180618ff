"""The loss falls a little, jumps up, falls again. After an hour it is about where it began."""
from clinic.parts import DIGITS, Small, WrittenOut, reversal, seeded, token_loss
from tinytorch.optim import AdamW


def build(seed=0):
    seeded(seed)
    model = Small(WrittenOut(32, 4, causal=False), DIGITS, 8)
    return {"model": model, "batch": reversal(seed), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=0.3)}
