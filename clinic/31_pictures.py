"""The network that worked on the course's data sees its first real pictures, bytes from a camera, and explodes."""
import numpy as np

from clinic.parts import class_loss, clusters, seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD


def build(seed=0):
    seeded(seed)
    points, labels = clusters(seed)
    pixels = np.clip(128 + 50 * points, 0, 255).astype(np.uint8)
    inputs = pixels.astype(np.float32)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))
    return {"model": model, "batch": (Tensor(inputs), Tensor(labels)), "loss_fn": class_loss,
            "optimizer": SGD(model.parameters(), lr=0.3)}
