"""The paper says that embedding and head share their weight. Ours has more parameters than the paper's model."""
from clinic.parts import CONTEXT, VOCABULARY, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


class Model(nn.GPT):
    def __init__(self):
        super().__init__(nn.GPTConfig(vocab_size=VOCABULARY, context=CONTEXT, d_model=32, num_layers=1, num_heads=4))
        self.head.weight = nn.Parameter(self.token_embedding.weight)


def build(seed=0):
    seeded(seed)
    ids, model = windows(seed), Model()
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(model.parameters(), lr=5e-3)}
