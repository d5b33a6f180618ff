"""Ask it twice, and it gives two answers. Its accuracy is measured in eval mode, and still changes every time."""
from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.nn import functional as F
from tinytorch.optim import SGD


class Network(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Linear(32, 64), nn.Linear(64, 8)

    def forward(self, x):
        return self.second(F.dropout(self.first(x).relu(), 0.2))


def build(seed=0):
    seeded(seed)
    model = Network()
    return {"model": model, "batch": tuple(map(Tensor, clusters(seed))), "loss_fn": class_loss,
            "optimizer": SGD(model.parameters(), lr=0.3)}
