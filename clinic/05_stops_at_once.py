"""It ran for a while, then stopped with an error. "It must be the data", they said."""
from clinic.parts import Small, WrittenOut, reversal, seeded, token_loss
from tinytorch.optim import AdamW


def build(seed=0):
    seeded(seed)
    model = Small(WrittenOut(32, 4, causal=False), 9, 8)
    return {"model": model, "batch": reversal(seed), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
