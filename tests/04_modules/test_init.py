"""Starting values: their size, their range, and that a seed repeats them."""
import math

import numpy as np
import pytest

from tinytorch import manual_seed
from tinytorch.nn import init
from tinytorch.nn.layers import Linear
from tinytorch.nn.module import Parameter


def empty(*shape, dtype=np.float32):
    return Parameter(np.full(shape, np.nan, dtype))


@pytest.mark.parametrize("fill, std, bound", [
    (lambda w: init.uniform_(w, -2, 4), 6 / math.sqrt(12), None),
    (lambda w: init.normal_(w, 1.0, 3.0), 3, None),
    (init.xavier_uniform_, math.sqrt(2 / 700), math.sqrt(6 / 700)),
    (lambda w: init.xavier_normal_(w, gain=2.0), 2 * math.sqrt(2 / 700), None),
    (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 400), math.sqrt(6 / 400)),
    (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="tanh"), 5 / 3 / math.sqrt(300), None),
    (lambda w: init.kaiming_normal_(w, a=2.0), math.sqrt(2 / 5 / 400), None)])
def test_size_and_range(fill, std, bound):
    weight = empty(300, 400)
    array = weight.data
    assert fill(weight) is weight and weight.data is array, "filled in place"
    assert abs(array.std() / std - 1) < 0.02
    if bound is not None:
        assert 0.9 * bound < np.abs(array).max() <= bound * (1 + 1e-6)
    assert array.dtype == np.float32 and weight.requires_grad and weight.is_leaf


def test_constants():
    assert init.zeros_(empty(3)).data.tolist() == [0, 0, 0]
    assert init.ones_(empty(2)).data.tolist() == [1, 1]
    assert init.constant_(empty(1), 0.5).data.tolist() == [0.5]


def test_fans_of_a_convolution():
    assert init.fans(empty(8, 3, 5, 5)) == (75, 200)


def test_the_seed_repeats_them():
    draws = []
    for _ in range(2):
        manual_seed(3)
        draws.append([f(empty(4, 5)).data for f in (init.uniform_, init.normal_, init.xavier_normal_,
                                                    init.kaiming_uniform_)])
    for one, other in zip(*draws):
        np.testing.assert_array_equal(one, other)
    assert np.abs(draws[0][0] - draws[0][1]).max() > 0.1


@pytest.mark.parametrize("bad, words", [
    (lambda: init.xavier_uniform_(empty(3)), r"\(3,\)"),
    (lambda: init.kaiming_normal_(empty(3, 2), mode="fan"), "'fan'"),
    (lambda: init.kaiming_normal_(empty(3, 2), nonlinearity="gulp"), "'gulp'")])
def test_errors(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu"])
def test_gains_are_pytorchs(torch, name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))


@pytest.mark.parametrize("name", ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"])
def test_sizes_are_pytorchs(torch, name):
    ours = getattr(init, name)(empty(200, 300, 2)).data
    theirs = getattr(torch.nn.init, name)(torch.empty(200, 300, 2)).numpy()
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    if "uniform" in name:
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=1e-3)


def test_a_linear_layer_starts_as_pytorchs_does(torch):
    ours, theirs = Linear(50, 4000), torch.nn.Linear(50, 4000)
    for name, parameter in theirs.named_parameters():
        mine, other = getattr(ours, name).data, parameter.detach().numpy()
        assert mine.std() == pytest.approx(other.std(), rel=0.05)
        assert np.abs(mine).max() == pytest.approx(1 / math.sqrt(50), rel=1e-2)


def test_a_signal_survives_thirty_layers_only_with_the_right_size():
    def size_after_thirty(std):
        manual_seed(0)
        x = np.random.default_rng(0).standard_normal((64, 128))
        for _ in range(30):
            x = np.maximum(x @ init.normal_(empty(128, 128), std=std).data.T, 0)
        return np.sqrt((x * x).mean())

    right = math.sqrt(2 / 128)
    assert 0.2 < size_after_thirty(right) < 5
    assert size_after_thirty(2 * right) > 1e6 and size_after_thirty(right / 2) < 1e-6
