"""PyTorch's counter of FLOPs finds the same matrix products, forward and backward."""
import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.counting import count
from tinytorch.nn import functional as F

torch = pytest.importorskip("torch", reason="parity tests need the extra: pip install -e '.[parity]'")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

CALLS = {
    "linear": (lambda f, x, w: f.linear(x, w), [(2, 5, 6), (4, 6)], "Linear"),
    "matmul": (lambda f, x, y: x @ y, [(3, 5, 6), (3, 6, 2)], "MatMul"),
    "attention": (lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v), [(2, 3, 16, 64)] * 3, "Attention"),
    "conv2d": (lambda f, x, w: f.conv2d(x, w), [(2, 4, 7, 7), (6, 4, 3, 3)], "Conv"),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_torch_counts(name):
    call, shapes, operation = CALLS[name]
    arrays = [np.random.default_rng(i).standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)]
    ours = [Tensor(x, requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    rows = count(lambda: call(F, *ours).sum().backward()).rows
    got = sum(rows[operation, half].flops for half in ("forward", "backward"))
    plain, counter = torch.nn.attention.SDPBackend.MATH, flop_counter.FlopCounterMode(display=False)
    with torch.nn.attention.sdpa_kernel(plain), counter:
        call(torch.nn.functional, *theirs).sum().backward()
    wanted = counter.get_total_flops()
    assert wanted <= got <= 1.1 * wanted, f"{got} is not {wanted} and some arithmetic beside products"
