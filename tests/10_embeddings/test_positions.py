"""Places: learned, sinusoidal and rotary."""
import math
import re

import numpy as np
import pytest

from tinytorch import Tensor, cat, set_default_dtype
from tinytorch.gradcheck import GradientError, check_function, gradcheck
from tinytorch.nn.embedding import (
    Embedding,
    LearnedPositions,
    Rotary,
    RotaryFunction,
    SinusoidalPositions,
    position_angles,
    rotate,
    sinusoidal_table,
)
from tinytorch.nn.module import Module, Parameter

# ---- learned


def test_learned_positions_are_the_rows_and_these_rows_get_the_gradient():
    positions = LearnedPositions(9, 4)
    out = positions(3, offset=2)
    np.testing.assert_array_equal(out.detach().numpy(), positions.weight.data[2:5])
    out.backward(np.full((3, 4), 2.0))
    np.testing.assert_array_equal(positions.weight.grad.data.sum(axis=1), [0, 0, 8, 8, 8, 0, 0, 0, 0])


def test_added_to_a_batch_the_gradient_is_the_sum_over_the_batch():
    tokens, positions = Embedding(11, 4), LearnedPositions(9, 4)
    cotangent = np.random.default_rng(0).standard_normal((5, 6, 4)).astype(np.float32)
    (tokens(np.zeros((5, 6), int)) + positions(6)).backward(cotangent)
    np.testing.assert_allclose(positions.weight.grad.data[:6], cotangent.sum(axis=0), rtol=1e-5, atol=1e-6)
    assert not positions.weight.grad.data[6:].any()


def test_the_bug_that_this_project_was_born_from():
    "Rows taken through .data have the right values, and get no gradient: a parameter count must notice."
    class ThroughData(LearnedPositions):
        def forward(self, length, offset=0):
            return Tensor(self.weight.data[offset:offset + length])

    class Model(Module):
        def __init__(self, positions):
            self.tokens, self.positions = Embedding(7, 4), positions
            self.head = Parameter(np.ones((4, 2), np.float32))

        def forward(self, ids):
            return (self.tokens(ids) + self.positions(ids.shape[-1])) @ self.head

    alive = {}
    for kind in (LearnedPositions, ThroughData):
        model = Model(kind(9, 4))
        model(Tensor([[1, 2, 3]])).square().sum().backward()
        alive[kind] = {name for name, p in model.named_parameters() if p.grad is not None and np.any(p.grad.data)}
    assert alive[LearnedPositions] == {"tokens.weight", "positions.weight", "head"}
    assert alive[ThroughData] == {"tokens.weight", "head"}


# ---- sinusoidal


@pytest.mark.parametrize("max_len, dim", [(5, 8), (7, 3), (1, 2), (20, 1)])
def test_sinusoidal_table_is_the_formula(max_len, dim):
    table = sinusoidal_table(max_len, dim)
    assert table.shape == (max_len, dim)
    for t in range(max_len):
        for column in range(dim):
            angle = t / 10000 ** (2 * (column // 2) / dim)
            assert table[t, column] == pytest.approx((math.cos if column % 2 else math.sin)(angle), abs=1e-12)


def test_products_of_sinusoidal_places_depend_on_their_distance():
    table = sinusoidal_table(60, 32)
    products = table @ table.T
    for distance in range(59):
        np.testing.assert_allclose(np.diagonal(products, distance), products[0, distance], atol=1e-12)
    assert np.all(products[0, 1:] < products[0, 0] - 0.5)


def test_sinusoidal_positions_are_fixed():
    positions = SinusoidalPositions(10, 6)
    assert not list(positions.parameters()) and not positions.state_dict()
    assert [name for name, _ in positions.named_buffers()] == ["table"]
    assert positions(4, offset=3).dtype == np.float32 and not positions(4).requires_grad
    np.testing.assert_allclose(positions(4, offset=3).numpy(), sinusoidal_table(10, 6)[3:7], atol=1e-7)
    try:
        set_default_dtype(np.float64)
        np.testing.assert_array_equal(SinusoidalPositions(10, 6)(10).numpy(), sinusoidal_table(10, 6))
    finally:
        set_default_dtype(np.float32)


# ---- rotary


def as_complex(x):
    "pair i of x as the complex number x[i] + j x[i + D/2]"
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:]


@pytest.mark.parametrize("shape", [(5, 2), (3, 5, 6), (2, 3, 5, 8), (2, 0, 4), (1, 4)])
@pytest.mark.parametrize("offset", [0, 3])
def test_rotary_is_multiplication_by_a_unit_complex_number(shape, offset):
    x, dim = np.random.default_rng(0).standard_normal(shape), shape[-1]
    places = np.arange(offset, offset + shape[-2])[:, None]
    expected = as_complex(x) * np.exp(1j * places * 10000.0 ** (-2 * np.arange(dim // 2) / dim))
    got = Rotary(dim, max_len=16)(Tensor(x), offset=offset)
    np.testing.assert_allclose(as_complex(got.numpy()), expected, atol=1e-12)


@pytest.mark.parametrize("base", [10000.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_rotary_scores_depend_on_the_distance_only(seed, base):
    rng = np.random.default_rng(seed)
    rotary, (q, k) = Rotary(10, max_len=40, base=base), rng.standard_normal((2, 10))
    queries, keys = (rotary(Tensor(np.tile(v, (40, 1)))).numpy() for v in (q, k))
    scores = queries @ keys.T
    assert np.ptp(scores) > 1, "they do depend on it"
    for distance in range(-39, 40):
        assert np.ptp(np.diagonal(scores, distance)) < 1e-11
    np.testing.assert_allclose(np.diagonal(scores), q @ k, atol=1e-11)


@pytest.mark.parametrize("shape", [(5, 2), (2, 3, 5, 6)])
def test_rotary_gradient(shape):
    x = Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    rotary = Rotary(shape[-1], max_len=9)
    gradcheck(rotary, x)
    gradcheck(lambda x: rotary(x, offset=4), x)
    swapped = x.transpose(0, -2).detach()  # not contiguous, another length
    gradcheck(rotary, swapped.requires_grad_())


def test_a_gradient_turned_by_the_same_angle_again_is_rejected():
    class Forwards(RotaryFunction):
        def backward(self, grad):
            return (self.forward(grad),)

    tables = Rotary(4, max_len=3).tables(3, 0, np.float64)
    check_function(lambda: RotaryFunction(*tables), np.ones((3, 4)))
    with pytest.raises(GradientError, match="Forwards"):
        check_function(lambda: Forwards(*tables), np.ones((3, 4)))


def test_rotary_piece_by_piece_is_rotary_at_once():
    "as with a cache: the first three places, then one after the other"
    x, rotary = Tensor(np.random.default_rng(0).standard_normal((2, 7, 4))), Rotary(4, max_len=7)
    pieces = [rotary(x[:, :3])] + [rotary(x[:, t:t + 1], offset=t) for t in range(3, 7)]
    np.testing.assert_array_equal(cat(pieces, dim=1).numpy(), rotary(x).numpy())


def test_rotary_keeps_the_dtype_and_its_input():
    rotary = Rotary(4, max_len=7)
    x = Tensor(np.ones((7, 4), np.float32), requires_grad=True)
    out = rotary(x)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.data, 1)
    assert not list(rotary.parameters()) and not rotary.state_dict()


def test_rotary_like_pytorch_in_the_words_of_llama(torch):
    rng = np.random.default_rng(3)
    x, cotangent = rng.standard_normal((2, 3, 6, 8)), rng.standard_normal((2, 3, 6, 8))
    theirs = torch.tensor(x, requires_grad=True)
    angles = torch.arange(6)[:, None] / 10000 ** (torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    rotated_half = torch.cat([-theirs[..., 4:], theirs[..., :4]], -1)
    expected = theirs * cos + rotated_half * sin
    expected.backward(torch.tensor(cotangent))
    ours = Tensor(x, requires_grad=True)
    out = Rotary(8, max_len=6)(ours)
    out.backward(cotangent)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 2), (2, 3, 5, 6), (2, 0, 4), (1, 4)])
def test_rotate_turns_pairs_of_two_halves(shape):
    rng = np.random.default_rng(0)
    x, angles = rng.standard_normal(shape), rng.standard_normal((shape[-2], shape[-1] // 2))
    kept = x.copy()
    cos, sin = np.tile(np.cos(angles), 2), np.concatenate([-np.sin(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(as_complex(rotate(x, cos, sin)), as_complex(x) * np.exp(1j * angles), atol=1e-12)
    np.testing.assert_array_equal(x, kept)
    assert rotate(*(a.astype(np.float32) for a in (x, cos, sin))).dtype == np.float32


@pytest.mark.parametrize("max_len, dim, base", [(5, 8, 10000.0), (7, 3, 100.0), (1, 2, 3.0)])
def test_angles_are_the_formula(max_len, dim, base):
    angles = position_angles(max_len, dim, base)
    assert angles.shape == (max_len, math.ceil(dim / 2)) and angles.dtype == np.float64
    for t in range(max_len):
        for i, angle in enumerate(angles[t]):
            assert angle == pytest.approx(t * base ** (-2 * i / dim))


# ---- errors


def refused(positions, length, offset, call):
    "The ValueError names the class, where the places asked for begin and end (or how many they are), and max_len 8."
    with pytest.raises(ValueError) as raised:
        call()
    text, number = str(raised.value), r"(?<![\d.])-?\d+"
    found = set(map(int, re.findall(number, text)))
    assert type(positions).__name__ in text and offset in found, text
    assert found & {length, offset + length, offset + length - 1} and found & {8, 7}, text


@pytest.mark.parametrize("make", [LearnedPositions, SinusoidalPositions])
@pytest.mark.parametrize("length, offset", [(9, 0), (4, 5), (1, 8), (2, -1)])
def test_places_past_the_table_are_refused(make, length, offset):
    positions = make(8, 4)
    refused(positions, length, offset, lambda: positions(length, offset))


@pytest.mark.parametrize("make", [LearnedPositions, SinusoidalPositions])
def test_the_whole_table_may_be_used(make):
    assert make(8, 4)(8).shape == (8, 4)
    assert make(8, 4)(3, 5).shape == (3, 4)
    assert make(8, 4)(0).shape == (0, 4)
    assert repr(make(8, 4)) == f"{make.__name__}(8, 4)"


def test_rotary_errors():
    rotary = Rotary(4, max_len=8)
    assert repr(rotary) == "Rotary(4, max_len=8, base=10000.0)"
    refused(rotary, 9, 0, lambda: rotary(Tensor(np.ones((9, 4)))))
    refused(rotary, 2, 7, lambda: rotary(Tensor(np.ones((2, 4))), offset=7))
    with pytest.raises(ValueError, match=r"(?s)(?=.*\(2, 6\))(?=.*4)Rotary"):
        rotary(Tensor(np.ones((2, 6))))
    with pytest.raises(ValueError, match="Rotary.*5"):
        Rotary(5, max_len=8)
