"""99 % in our tests, 60 % with the customer."""
import numpy as np

from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD


def build(seed=0):
    seeded(seed)
    points, labels = clusters(seed, rows=256)
    chosen = np.random.default_rng(seed).integers(0, 256, 384)  # rare classes are drawn more than once
    points, labels = points[chosen], labels[chosen]
    train, test = slice(0, 256), slice(256, 384)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    return {"model": model, "batch": (Tensor(points[train]), Tensor(labels[train])), "loss_fn": class_loss,
            "held_out": (Tensor(points[test]), Tensor(labels[test])), "optimizer": SGD(model.parameters(), lr=0.3)}
