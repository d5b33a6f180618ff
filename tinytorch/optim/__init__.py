"""Optimizers, clipping and schedules, under PyTorch's names."""
from tinytorch.optim import lr_scheduler
from tinytorch.optim.more import Adagrad, RMSprop
from tinytorch.optim.optimizers import (
    SGD,
    Adam,
    AdamW,
    LambdaLR,
    Optimizer,
    adam_step,
    adam_update,
    clip_grad_norm_,
    decay_groups,
    linear_warmup,
    new_moments,
    sgd_update,
    total_norm,
    warmup_cosine,
)
