"""PyTorch's `torch.utils.data`: names handed on from chapter 07."""
from tinytorch.data import DataLoader, Dataset, Subset, TensorDataset, random_split

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]
