"""It learns, slower than it should. The picture of the word vectors looks like noise, even at the end."""
from clinic.parts import CONTEXT, VOCABULARY, seeded, token_loss, windows
from tinytorch import Tensor, nn
from tinytorch.optim import AdamW


def build(seed=0):
    seeded(seed)
    ids = windows(seed)
    model = nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=CONTEXT, d_model=32, num_layers=2, num_heads=4,
                                tied_head=False))
    trained = [*model.transformer.parameters(), *model.head.parameters()]
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": AdamW(trained, lr=5e-3)}
