"""Optimizers that no chapter teaches, in the frame of those that one does."""
import numpy as np

from tinytorch.optim.optimizers import Optimizer


class RMSprop(Optimizer):
    "Divide each step by the root of a running mean of squared gradients (Hinton, lecture 6e; Graves 2013 if centered)."
    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum,
                         centered=centered)

    def moment_names(self, group):
        return ["square_avg", *["grad_avg"] * group["centered"], *["momentum_buffer"] * (group["momentum"] > 0)]

    def update(self, params, grads, moments, steps, *, lr, alpha, eps, weight_decay, momentum, centered):
        for x, grad, *kept in zip(params, grads, *moments):
            grad = grad + weight_decay * x if weight_decay else grad
            square = kept[0]
            square *= alpha
            square += (1 - alpha) * grad * grad
            if centered:
                kept[1] *= alpha
                kept[1] += (1 - alpha) * grad
                square = square - kept[1] * kept[1]
            step = grad / (np.sqrt(square) + eps)
            if momentum:
                kept[-1] *= momentum
                kept[-1] += step
                step = kept[-1]
            x -= lr * step


class Adagrad(Optimizer):
    "Divide each step by the root of the sum of all squared gradients so far (Duchi et al. 2011)."
    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, eps=1e-10):
        super().__init__(params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)

    def moment_names(self, group):
        return ["sum"]

    def update(self, params, grads, moments, steps, *, lr, lr_decay, weight_decay, eps):
        for x, grad, total, step in zip(params, grads, moments[0], steps):
            grad = grad + weight_decay * x if weight_decay else grad
            total += grad * grad
            x -= lr / (1 + (step - 1) * lr_decay) * grad / (np.sqrt(total) + eps)
