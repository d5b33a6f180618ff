"""Fine-tuning for eight classes instead of five: it stays at the accuracy of guessing for long."""
from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD


def build(seed=0):
    seeded(seed)
    model = nn.Sequential({"body": nn.Linear(32, 32), "relu": nn.ReLU(), "head": nn.Linear(32, 5)})
    optimizer = SGD(model.parameters(), lr=0.3)
    model.head = nn.Linear(32, 8)
    return {"model": model, "batch": tuple(map(Tensor, clusters(seed))), "loss_fn": class_loss, "optimizer": optimizer}
