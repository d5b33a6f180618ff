"""What does not fit is refused: the error says which operation, what it got, and leaves everything as it was."""
import numpy as np
import pytest
from said import said

import tinytorch
from tinytorch import Tensor, ones
from tinytorch.nn import functional as F

M = ones(2, 3)
CUBE = ones(2, 3, 4)
IMAGE = ones(1, 3, 5, 5)
I64 = Tensor([0, 1])

# what is called -> words that its error must contain
REFUSED = [
    ("add", lambda: M + ones(4, 5), ValueError, "add (2, 3) (4, 5) broadcast"),
    ("sub", lambda: M - ones(2), ValueError, "sub (2, 3) (2,)"),
    ("mul", lambda: M * np.ones((3, 2)), ValueError, "mul (2, 3) (3, 2)"),
    ("div", lambda: ones(4) / ones(3), ValueError, "div (4,) (3,)"),
    ("pow", lambda: M ** ones(2), ValueError, "pow (2, 3) (2,)"),
    ("maximum", lambda: M.maximum(ones(4)), ValueError, "maximum (2, 3) (4,)"),
    ("minimum", lambda: M.minimum(ones(4)), ValueError, "minimum (2, 3) (4,)"),
    ("where", lambda: tinytorch.where(Tensor([True, False]), M, M), ValueError, "where (2,) (2, 3)"),
    ("matmul inner", lambda: M @ ones(4, 5), ValueError, "matmul (2, 3) (4, 5) 3 4"),
    ("matmul transposed", lambda: M @ M, ValueError, "matmul (2, 3) transpose"),
    ("matmul scalar", lambda: M @ Tensor(2.0), ValueError, "matmul (2, 3) ()"),
    ("matmul vector", lambda: ones(4) @ ones(3), ValueError, "matmul (4,) (3,)"),
    ("matmul stack", lambda: CUBE @ ones(3, 4, 5), ValueError, "matmul (2, 3, 4) (3, 4, 5)"),
    ("mm", lambda: M.mm(CUBE), ValueError, "mm (2, 3) (2, 3, 4)"),
    ("bmm", lambda: M.bmm(CUBE), ValueError, "bmm (2, 3) (2, 3, 4)"),
    ("einsum sizes", lambda: tinytorch.einsum("ij,jk->ik", M, ones(4, 5)), ValueError, "einsum (2, 3) (4, 5)"),
    ("einsum letters", lambda: tinytorch.einsum("ijk->i", M), ValueError, "einsum ijk (2, 3)"),
    ("einsum operands", lambda: tinytorch.einsum("ij,jk->ik", M), ValueError, "einsum 2"),
    ("sum dim", lambda: M.sum(2), IndexError, "sum 2 (2, 3)"),
    ("mean dim", lambda: M.mean((0, -3)), IndexError, "mean -3 (2, 3)"),
    ("sum twice", lambda: M.sum((1, -1)), ValueError, "sum (2, 3)"),
    ("softmax dim", lambda: M.softmax(5), IndexError, "softmax 5 (2, 3)"),
    ("log_softmax dim", lambda: M.log_softmax(-3), IndexError, "softmax -3 (2, 3)"),
    ("cumsum dim", lambda: M.cumsum(2), IndexError, "cumsum 2 (2, 3)"),
    ("argmax dim", lambda: M.argmax(2), IndexError, "argmax 2"),
    ("max dim", lambda: M.max(2), IndexError, "max 2"),
    ("amax of nothing", lambda: ones(0, 3).amax(), ValueError, "amax (0, 3)"),
    ("amin of nothing", lambda: ones(2, 0).amin(dim=1), ValueError, "amin (2, 0)"),
    ("max of nothing", lambda: ones(2, 0).max(dim=1), ValueError, "max"),
    ("reshape", lambda: M.reshape(4, 2), ValueError, "reshape (2, 3) (4"),
    ("reshape -1 twice", lambda: M.reshape(-1, -1), ValueError, "reshape (2, 3)"),
    ("view", lambda: M.view(5), ValueError, "(2, 3) (5"),
    ("permute too few", lambda: M.permute(0), ValueError, "permute (2, 3)"),
    ("permute twice", lambda: M.permute(0, 0), ValueError, "permute (2, 3)"),
    ("permute dim", lambda: M.permute(0, 2), IndexError, "permute 2 (2, 3)"),
    ("transpose dim", lambda: M.transpose(0, 2), IndexError, "transpose 2"),
    ("squeeze dim", lambda: M.squeeze(2), IndexError, "squeeze 2"),
    ("unsqueeze dim", lambda: M.unsqueeze(5), IndexError, "unsqueeze 5"),
    ("flatten dim", lambda: M.flatten(2), IndexError, "flatten 2"),
    ("expand", lambda: M.expand(4, 3), ValueError, "expand (2, 3)"),
    ("expand fewer", lambda: M.expand(3), ValueError, "expand (2, 3)"),
    ("flip dim", lambda: M.flip(2), IndexError, "flip 2 (2, 3)"),
    ("roll dim", lambda: M.roll(1, 2), IndexError, "roll 2 (2, 3)"),
    ("repeat too few", lambda: M.repeat(2), ValueError, "repeat (2, 3)"),
    ("cat sizes", lambda: tinytorch.cat([M, ones(3, 4)]), ValueError, "cat (2, 3) (3, 4)"),
    ("cat dim", lambda: tinytorch.cat([M, M], dim=2), IndexError, "cat 2 (2, 3)"),
    ("cat ndim", lambda: tinytorch.cat([M, CUBE]), ValueError, "cat (2, 3) (2, 3, 4)"),
    ("stack", lambda: tinytorch.stack([M, ones(3, 4)]), ValueError, "2,3) 3,4)"),
    ("split sizes", lambda: M.split([1, 1], dim=1), ValueError, "split 2 3"),
    ("split dim", lambda: M.split(1, dim=2), IndexError, "split 2"),
    ("chunk dim", lambda: M.chunk(2, dim=2), IndexError, "2"),
    ("tril of a vector", lambda: ones(3).tril(), ValueError, "tril (3,)"),
    ("index too large", lambda: M[2], IndexError, "index 2 (2, 3)"),
    ("index too many", lambda: M[0, 0, 0], IndexError, "index 3 (2, 3)"),
    ("index mask", lambda: M[Tensor([True, False, True])], IndexError, "index (2, 3)"),
    ("index float", lambda: M[1.0], IndexError, "index float"),
    ("index float tensor", lambda: M[Tensor([0.0])], IndexError, "index float32 long"),
    ("index float list", lambda: M[[0.5, 1.0]], IndexError, "index float"),
    ("float as a slice end", lambda: M[:Tensor(1.5)], TypeError, "float32"),
    ("gather ndim", lambda: M.gather(1, I64), ValueError, "gather (2, 3) (2,)"),
    ("gather index", lambda: M.gather(1, Tensor([[3, 0], [0, 0]])), IndexError, "gather 3 (2, 3)"),
    ("index_select", lambda: M.index_select(1, Tensor([3])), IndexError, "index 3 (2, 3)"),
    ("index_select dim", lambda: M.index_select(2, I64), IndexError, "index_select 2"),
    ("masked_fill", lambda: M.masked_fill(Tensor([True, False]), 0.0), ValueError, "(2,) (2, 3)"),
    ("linear", lambda: F.linear(M, ones(4, 5)), ValueError, "linear (2, 3) (4, 5) 3 5"),
    ("linear bias", lambda: F.linear(M, ones(4, 3), ones(3)), ValueError, "linear (4, 3) (3,)"),
    ("layer_norm", lambda: F.layer_norm(M, (4,)), ValueError, "layer_norm (2, 3) (4,)"),
    ("rms_norm weight", lambda: F.rms_norm(M, (3,), ones(2)), ValueError, "rms_norm (2,) (3,)"),
    ("embedding outside", lambda: F.embedding(Tensor([0, 7]), M), IndexError, "embedding 7 2"),
    ("embedding of floats", lambda: F.embedding(Tensor([0.0]), M), TypeError, "embedding float32"),
    ("cross_entropy shape", lambda: F.cross_entropy(M, Tensor([0, 1, 2])), ValueError, "cross_entropy (2, 3) (3,)"),
    ("cross_entropy class", lambda: F.cross_entropy(M, Tensor([0, 3])), IndexError, "cross_entropy 3"),
    ("mse_loss", lambda: F.mse_loss(M, ones(2)), ValueError, "mse_loss (2, 3) (2,)"),
    ("bce not a probability", lambda: F.binary_cross_entropy(M * 2, M), ValueError, "binary_cross_entropy 2 logits"),
    ("attention", lambda: F.scaled_dot_product_attention(M, ones(4, 5), ones(4, 5)), ValueError,
        "attention (2, 3) (4, 5)"),
    ("conv2d channels", lambda: F.conv2d(IMAGE, ones(4, 2, 3, 3)),
        ValueError, "conv2d (1, 3, 5, 5) (4, 2, 3, 3) groups"),
    ("conv2d groups", lambda: F.conv2d(IMAGE, ones(4, 1, 3, 3), groups=3), ValueError, "conv2d groups=3 multiple"),
    ("conv2d bias", lambda: F.conv2d(IMAGE, ones(4, 3, 3, 3), ones(3)), ValueError, "conv2d bias (3,) (4,)"),
    ("conv2d does not fit", lambda: F.conv2d(IMAGE, ones(4, 3, 3, 3), dilation=3), ValueError, "conv2d 7 5 padding"),
    ("conv2d of integers", lambda: F.conv2d(IMAGE.long(), ones(4, 3, 3, 3)), TypeError, "conv2d int64 .float()"),
    ("conv2d stride", lambda: F.conv2d(IMAGE, ones(4, 3, 3, 3), stride=0), ValueError, "stride 0 at least 1"),
    ("conv2d same", lambda: F.conv2d(IMAGE, ones(4, 3, 3, 3), stride=2, padding="same"), ValueError, "same stride (2"),
    ("conv2d padding", lambda: F.conv2d(IMAGE, ones(4, 3, 3, 3), padding="full"),
        ValueError, "padding full same valid"),
    ("conv1d", lambda: F.conv1d(CUBE, ones(4, 2, 3)), ValueError, "conv1d (2, 3, 4) (4, 2, 3)"),
    ("max_pool2d", lambda: F.max_pool2d(IMAGE, 6), ValueError, "max_pool2d 6 5"),
    ("max_pool2d padding", lambda: F.max_pool2d(IMAGE, 3, padding=2),
        ValueError, "max_pool2d padding (2, 2) half (3, 3)"),
    ("avg_pool1d", lambda: F.avg_pool1d(M, 2), ValueError, "avg_pool1d (2, 3) (N, C, L)"),
    ("batch_norm weight", lambda: F.batch_norm(M, ones(3), ones(3), ones(2)),
        ValueError, "batch_norm weight (2,) (3,)"),
    ("batch_norm of one", lambda: F.batch_norm(M[:1], None, None, training=True), ValueError, "batch_norm (1, 3) eval"),
    ("batch_norm without statistics", lambda: F.batch_norm(M, None, None), ValueError, "batch_norm running_mean"),
    ("dropout", lambda: F.dropout(M, p=1.5), ValueError, "dropout 1.5"),
    ("gelu", lambda: F.gelu(M, approximate="cubic"), ValueError, "gelu cubic"),
    ("pad", lambda: F.pad(M, (1, 1, 1)), ValueError, "pad"),
    ("item", lambda: M.item(), ValueError, "item (2, 3)"),
    ("words", lambda: Tensor(["a", "b"]), TypeError, "Tensor"),
]


@pytest.mark.parametrize("call, error, words", [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_refused(call, error, words):
    shared = M.data, CUBE.data, I64.data
    before = [array.copy() for array in shared]
    with pytest.raises(error) as raised:
        call()
    message = said(raised.value).lower()
    pieces = words.lower().replace(", ", ",").split()
    missing = [piece for piece in pieces if piece not in message.replace(", ", ",")]
    assert not missing, f"{message!r} does not say {missing}"
    assert all(np.array_equal(array, copy) for array, copy in zip(shared, before))
