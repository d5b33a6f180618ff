"""From losses of a known law the known exponents; intervals that are right as often as they say."""
import numpy as np
import pytest

import tinytorch
from tinytorch import nn
from tinytorch.counting import count, multiplied_weights
from tinytorch.nn import functional as F
from tinytorch.scaling import (
    Trial,
    bootstrap,
    draw_isoflops,
    fit,
    minimum,
    multiplied,
    optima,
    power_law,
    resampled,
    tokens_for,
)

ALPHA, BETA, A, B, E = 0.34, 0.28, 406.4, 410.7, 1.69  # Hoffmann et al. (2022), eq. 10
EXPONENT = BETA / (ALPHA + BETA)


def loss_of(size, tokens):
    return E + A / size ** ALPHA + B / tokens ** BETA


def best_size(flops):
    return (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** EXPONENT


def known(budgets, noise=0.0, seed=0, width=4.0, count=7):
    generator = np.random.default_rng(seed)
    return [Trial(c, n, c / (6 * n), loss_of(n, c / (6 * n)) + noise * generator.standard_normal())
            for c in budgets for n in best_size(c) * np.geomspace(1 / width, width, count)]


BUDGETS = np.geomspace(1e18, 1e21, 5)


def test_the_exponents_of_a_known_law():
    law = fit(known(BUDGETS))
    assert law.size[1] == pytest.approx(EXPONENT, abs=0.002) and law.tokens[1] == pytest.approx(1 - EXPONENT, abs=0.002)
    size, tokens, loss = law.at(1e22)
    assert size == pytest.approx(best_size(1e22), rel=0.05) and 6 * size * tokens == pytest.approx(1e22, rel=1e-6)
    measured = [loss_of(best_size(c), c / (6 * best_size(c))) for c in BUDGETS]
    np.testing.assert_allclose([law.at(c)[2] for c in BUDGETS], measured, atol=0.07)
    assert E < loss < loss_of(size, tokens), "a line in logarithms does not know of E: it predicts too little"


def test_a_parabola_is_an_approximation_that_gets_better_near_its_minimum():
    errors = [abs(np.log(optima(known([1e20], width=width))[1e20][0] / best_size(1e20))) for width in (2, 4, 16)]
    assert errors[0] < errors[1] < errors[2] and errors[0] < 0.01


@pytest.mark.parametrize("best", [100, 333, 1000])
def test_an_exact_parabola(best):
    sizes = np.geomspace(50, 2000, 5)
    size, loss = minimum(sizes, 1.5 + 0.2 * np.log(sizes / best) ** 2)
    assert size == pytest.approx(best) and loss == pytest.approx(1.5)


@pytest.mark.parametrize("losses", [[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 2, 1], [5, 3, 2, 1.5]])
def test_no_minimum_between_the_sizes(losses):
    with pytest.raises(ValueError, match="10 to 10,000 have none"):
        minimum([10, 100, 1000, 10000], losses)


def test_too_few_sizes_or_budgets():
    with pytest.raises(ValueError, match="three different sizes"):
        minimum([10, 10, 20], [1, 2, 3])
    with pytest.raises(ValueError, match="budgets.* 1"):
        fit(known([1e18]))
    with pytest.raises(ValueError, match="none"):
        fit([*known([1e18, 1e19]), *(Trial(1e20, n, 1, float(n)) for n in (1, 2, 4))])


def test_models_that_ignore_the_budget_have_no_minimum():
    "with as many tokens for each, whatever its size, the largest is the best"
    trials = [Trial(c, n, 1e9, loss_of(n, 1e9)) for c in BUDGETS for n in best_size(c) * np.geomspace(0.25, 4, 7)]
    with pytest.raises(ValueError, match="none"):
        fit(trials)


def test_the_order_of_trials_does_not_matter():
    trials = known(BUDGETS, 0.01)
    shuffled = [trials[i] for i in np.random.default_rng(0).permutation(len(trials))]
    np.testing.assert_allclose(fit(shuffled), fit(trials), rtol=1e-8)


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(30):
        found = bootstrap(known(BUDGETS, 0.01, seed, count=9), 1e22, 60, level=0.9, generator=seed)
        inside.append(found.size[0] <= EXPONENT <= found.size[1])
    assert 0.6 <= np.mean(inside) <= 1.0, f"90 % intervals held the truth in {np.mean(inside):.0%} of 30 experiments"


def test_more_noise_makes_wider_intervals():
    widths = []
    for noise in (0.001, 0.01):
        found = bootstrap(known(BUDGETS, noise), 1e22, 100, generator=0)
        assert found.size[0] < found.size[1] and found.size_at[0] < found.size_at[1] and found.failed < 50
        widths.append(found.size[1] - found.size[0])
    assert widths[1] > 3 * widths[0]


def test_the_same_seed_gives_the_same_interval():
    trials = known(BUDGETS, 0.01)
    first, again, other = (bootstrap(trials, 1e22, 30, generator=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_losses_without_a_shape():
    "noise that happens to have a minimum for each budget: most draws from it have none"
    for seed in range(1000):
        trials = known(BUDGETS[:4], noise=0.3, seed=seed)
        try:
            fit(trials)
        except ValueError:
            continue
        break
    with pytest.raises(ValueError, match="60"):
        bootstrap(trials, 1e22, 60, generator=0)


def test_draws_come_from_each_budget():
    trials = known([1e18], count=5) + known([1e19], count=7)
    drawn = resampled(trials, np.random.default_rng(0))
    assert [sum(one.flops == budget for one in drawn) for budget in (1e18, 1e19)] == [5, 7]
    assert set(drawn) < set(trials)


@pytest.mark.parametrize("layers, width, vocabulary, context", [(1, 8, 11, 16), (3, 12, 7, 9)])
def test_a_budget_is_what_a_model_takes(layers, width, vocabulary, context):
    config = nn.GPTConfig(vocab_size=vocabulary, context=context, d_model=width, num_layers=layers, bias=False)
    tinytorch.manual_seed(0)
    model = nn.GPT(config)
    assert multiplied_weights(model) == multiplied(layers, width, vocabulary)
    ids = np.random.default_rng(0).integers(vocabulary, size=(2, context))
    rows = count(lambda: F.cross_entropy(model(ids).flatten(0, 1), ids.reshape(-1)).backward()).rows
    flops = sum(row.flops for (name, _), row in rows.items() if name in ("Linear", "Attention"))
    tokens = tokens_for(flops, layers, width, vocabulary, context)
    assert 2 * context <= tokens <= 1.2 * 2 * context, "softmax and the like are the rest"


def test_a_power_law_through_noise():
    x, generator = np.geomspace(1, 1e6, 40), np.random.default_rng(0)
    k, a = power_law(x, 3 * x ** -0.4 * np.exp(0.1 * generator.standard_normal(40)))
    assert k == pytest.approx(3, rel=0.1) and a == pytest.approx(-0.4, abs=0.01)


def test_the_picture():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    draw_isoflops(axes, known(BUDGETS[:3]))
    figure.canvas.draw()
    assert len(axes.lines) == 9 and axes.get_xscale() == "log", "points, parabola and minimum of three budgets"
    plt.close(figure)
