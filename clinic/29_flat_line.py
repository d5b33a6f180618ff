"""The loss is a perfectly flat line. Gradients are fine."""
from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD, LambdaLR


def build(seed=0):
    seeded(seed)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    optimizer = SGD(model.parameters(), lr=0.3)
    LambdaLR(optimizer, lambda step: min(1.0, step / 100))
    return {"model": model, "batch": tuple(map(Tensor, clusters(seed))), "loss_fn": class_loss, "optimizer": optimizer}
