"""The rows of operations that later chapters add."""
import numpy as np
from operations.table import Row, real, together

from tinytorch.distributed import CopyToRanks, SumOverRanks
from tinytorch.quantization import IntegerProduct, fake_quantize, to_integers
from tinytorch.tensor import apply

SCALES = np.array([0.5, 0.25, 0.125, 0.0625], np.float32)  # which all dtypes hold exactly


def fake(t, x, bits):
    return fake_quantize(x, SCALES[: len(x), None, None].astype(x.dtype), bits)


def fake_of_torch(t, x, bits):
    import torch
    end, zeros = 2 ** (bits - 1) - 1, torch.zeros(len(x), dtype=torch.int32)
    scales = torch.from_numpy(SCALES[: len(x)])
    out = torch.fake_quantize_per_channel_affine(x.float(), scales, zeros, 0, -end, end)
    if x.dtype == torch.float32:
        return out
    inside = (x / scales[:, None]).round().abs() <= end  # PyTorch's is for float32 only: its gradient, in float64
    return out.detach().to(x.dtype) + torch.where(inside, x - x.detach(), 0.0)


def integers_of(x):
    weight = np.sin(np.arange(4 * x.shape[-1], dtype=np.float64)).reshape(4, -1)
    scales = np.full((4, 1, 1), 0.0078125)
    return to_integers(weight, scales), scales


def product(t, x):
    return apply(IntegerProduct(), x, *integers_of(x))


def product_of_torch(t, x):
    import torch
    integers, scales = integers_of(x)
    return x @ torch.from_numpy(integers * scales[:, :, 0]).to(x.dtype).T


DISTRIBUTED = [  # of a single rank, they change nothing
    Row("copy_to_ranks", lambda t, x: apply(CopyToRanks(), x), (real,), [((3, 5),), ((),)], theirs=lambda t, x: 1 * x),
    Row("sum_over_ranks", lambda t, x: apply(SumOverRanks(), x), (real,), [((3, 5),), ((0,),)],
        theirs=lambda t, x: 1 * x),
]

QUANTIZATION = [
    Row("fake_quantize", fake, (real,), [((3, 5),), ((4, 2),), ((1, 1),)], together(bits=[4, 8]), theirs=fake_of_torch,
        slope=False),
    Row("integer_product", product, (real,), [((3, 5),), ((2, 3, 6),), ((5,),), ((0, 4),)], theirs=product_of_torch),
]
