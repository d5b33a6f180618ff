"""It learns at first, then the loss swings up and down and never settles, at any learning rate."""
import numpy as np

import tinytorch.nn.functional as F
from clinic.parts import seeded
from tinytorch import Tensor, nn
from tinytorch.optim import SGD


def train_step(model, batch, loss_fn, optimizer):
    loss = loss_fn(model, *batch)
    loss.backward()
    optimizer.step()


def wave_loss(model, points, heights):
    return F.mse_loss(model(points), heights)


def build(seed=0):
    seeded(seed)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    points = np.linspace(-3, 3, 64, dtype=np.float32).reshape(64, 1)
    return {"model": model, "batch": (Tensor(points), Tensor(np.sin(points))), "loss_fn": wave_loss, "step": train_step,
            "optimizer": SGD(model.parameters(), lr=0.1)}
