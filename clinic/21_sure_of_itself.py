"""The loss starts at 11, and it takes long to come down to what a blind guess would get."""
from clinic.parts import CONTEXT, VOCABULARY, Small, WrittenOut, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.nn.init import normal_
from tinytorch.optim import AdamW


def build(seed=0):
    seeded(seed)
    ids = windows(seed)
    model = Small(WrittenOut(32, 4), VOCABULARY, CONTEXT)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            normal_(module.weight, std=1.0)
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
