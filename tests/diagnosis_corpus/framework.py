"""The corpus is written in what tinytorch and PyTorch have in common; CORPUS_FRAMEWORK says with which it is built."""

import os

if os.environ.get("CORPUS_FRAMEWORK", "tinytorch") == "torch":
    import torch
    import torch.nn.functional as F
    from torch import nn, optim
else:
    import tinytorch as torch
    import tinytorch.nn.functional as F
    from tinytorch import nn, optim

__all__ = ["F", "nn", "optim", "torch"]
