"""Trained well, loss 0.1, accuracy high. But all that it ever writes is the same few words, again and again."""
from clinic.parts import CONTEXT, VOCABULARY, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.generation import generate
from tinytorch.optim import AdamW
from tinytorch.training import train_step


def write(model):
    return generate(model, [0], 600, temperature=0)


def build(seed=0):
    seeded(seed)
    ids = windows(seed, rows=64)
    model = nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=CONTEXT, d_model=32, num_layers=1, num_heads=4))
    batch, optimizer = (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        train_step(model, [batch], token_loss, optimizer)
    return {"model": model, "batch": batch, "loss_fn": token_loss, "optimizer": optimizer, "generate": write}
