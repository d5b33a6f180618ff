"""PyTorch's `torch.linalg`, as far as training needs it: lengths of vectors."""
from tinytorch.vocabulary.functions import tensor_of


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    "Return (sum |x|^ord)^(1/ord) over `dim`, all elements if None."
    return tensor_of("vector_norm", x).norm(ord, dim, keepdim, dtype)


def norm(A, ord=None, dim=None, keepdim=False, dtype=None):
    """Return the length of all elements, or of vectors along `dim`, an int, of the order `ord`.
    Raises: ValueError for the order of a matrix: only its length as one vector, ord=None or 'fro', is here."""
    matrix = isinstance(dim, (tuple, list)) or dim is None and A.ndim > 1
    if matrix and ord not in (None, "fro"):
        raise ValueError(f"linalg.norm: ord of a matrix is None or 'fro', got {ord!r}")
    return vector_norm(A, 2 if ord in (None, "fro") else ord, dim, keepdim, dtype)
