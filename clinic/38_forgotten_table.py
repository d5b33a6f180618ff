"""We drew the table of positions before training and after it. It is the same picture, to the last digit."""
from clinic.parts import CONTEXT, VOCABULARY, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


class Model(nn.Module):
    def __init__(self, width=32):
        self.token, self.position = nn.Embedding(VOCABULARY, width), nn.LearnedPositions(CONTEXT, width)
        config = nn.TransformerConfig(d_model=width, num_heads=4)
        self.blocks = nn.ModuleList(nn.TransformerBlock(config) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)

    def forward(self, ids):
        x = self.token(ids)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.head(self.norm(x))


def build(seed=0):
    seeded(seed)
    ids, model = windows(seed), Model()
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
