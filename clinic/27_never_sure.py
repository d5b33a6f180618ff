"""It gets better, very slowly, and the loss never falls below 1.3, even where all answers are right."""
from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD


def build(seed=0):
    seeded(seed)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8), nn.Softmax(dim=-1))
    return {"model": model, "batch": tuple(map(Tensor, clusters(seed))), "loss_fn": class_loss,
            "optimizer": SGD(model.parameters(), lr=0.3)}
