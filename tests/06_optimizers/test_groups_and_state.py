"""Parameter groups, what is refused, and a resume that nobody can tell from a run without a break."""
import copy

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, Optimizer, decay_groups, warmup_cosine

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "momentum": lambda params: SGD(params, lr=0.1, momentum=0.9, dampening=0.1),
    "Adam": lambda params: Adam(params, lr=0.1),
    "AdamW": lambda params: AdamW(params, lr=0.1),
}


def make_params():
    generator = np.random.default_rng(0)
    return [Tensor(generator.standard_normal(shape), requires_grad=True) for shape in ((3, 4), (5,), (200, 180), ())]


def run(params, optimizer, schedule, steps):
    "Steps whose gradients depend on the step and the parameters only; the second parameter joins at step 5."
    for step in steps:
        generator = np.random.default_rng(step)
        for i, p in enumerate(params):
            p.grad = None if i == 1 and step < 5 else np.asarray(np.sin(p.data) + generator.standard_normal(p.shape))
        optimizer.step()
        schedule.step()


# ---- groups

def test_groups_override_the_defaults():
    a, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5, "name": "slow"}], lr=0.1, weight_decay=0.2)
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.1, 0.2), (0.5, 0.2)]
    a.grad, b.grad = np.array([1.0], np.float32), np.array([1.0], np.float32)
    optimizer.step()
    np.testing.assert_allclose([a.data[0], b.data[0]], [1 - 0.1 * 1.2, 1 - 0.5 * 1.2], rtol=1e-6)


def test_a_group_can_be_added_later():
    a, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = Adam([a], lr=0.1)
    a.grad = np.ones(1, np.float32)
    optimizer.step()
    optimizer.add_param_group({"params": [b], "lr": 0.2})
    b.grad = np.ones(1, np.float32)
    optimizer.step()
    np.testing.assert_allclose([a.data[0], b.data[0]], [0.8, 0.8], rtol=1e-5)


def test_decay_groups_spares_biases_and_norms():
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Embedding(5, 3))
    matrices, vectors = decay_groups(model, weight_decay=0.1)
    assert [p.shape for p in matrices["params"]] == [(3, 4), (5, 3)] and matrices["weight_decay"] == 0.1
    assert [p.shape for p in vectors["params"]] == [(3,), (3,), (3,)] and vectors["weight_decay"] == 0
    assert len(decay_groups(nn.Linear(4, 3, bias=False), 0.1)) == 1, "no empty group"
    model[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in decay_groups(model, 0.1)) == 3, "frozen parameters are left out"


def test_decay_groups_decay_only_the_matrices():
    model = nn.Linear(4, 3)
    before = model.state_dict()
    optimizer = AdamW(decay_groups(model, weight_decay=0.5), lr=0.1)
    for p in model.parameters():
        p.grad = np.zeros_like(p.data)
    optimizer.step()
    np.testing.assert_allclose(model.weight.data, 0.95 * before["weight"], rtol=1e-6)
    np.testing.assert_array_equal(model.bias.data, before["bias"])


def test_zero_grad_forgets():
    params = make_params()
    for p in params:
        p.grad = np.ones(p.shape)
    SGD(params, lr=0.1).zero_grad()
    assert all(p.grad is None for p in params)


def test_zero_grad_may_keep_the_arrays():
    p, q = make_params()[:2]
    p.grad = mine = np.ones(p.shape)
    SGD([p, q], lr=0.1).zero_grad(set_to_none=False)
    assert p.grad.data is mine and not mine.any() and q.grad is None


def test_state_is_pytorchs_dict():
    p, q = make_params()[:2]
    optimizer = Adam([p, q], lr=0.1)
    assert p not in optimizer.state
    for _ in range(2):
        p.grad = np.ones(p.shape)
        optimizer.step()
    assert q not in optimizer.state and optimizer.state[p].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert optimizer.state[p]["step"] == 2 and optimizer.state[p]["exp_avg"].shape == p.shape
    np.testing.assert_allclose(optimizer.state[p]["exp_avg"], 1 - 0.9**2)


# ---- what is refused

@pytest.mark.parametrize("make, message", [
    (lambda p: SGD([p], lr=-0.1), "SGD.*lr.*-0.1"),
    (lambda p: SGD([p], lr=float("nan")), "SGD.*lr.*nan"),
    (lambda p: SGD([p], lr=0.1, momentum=-1), "SGD.*momentum.*-1"),
    (lambda p: SGD([p], lr=0.1, nesterov=True), "SGD.*nesterov"),
    (lambda p: SGD([p], lr=0.1, momentum=0.9, dampening=0.1, nesterov=True), "SGD.*nesterov"),
    (lambda p: AdamW([p], weight_decay=-0.1), "AdamW.*weight_decay.*-0.1"),
    (lambda p: Adam([p], eps=-1e-8), "Adam.*eps.*-1e-08"),
    (lambda p: Adam([p], betas=(0.9, 1.0)), r"Adam.*betas.*\(0.9, 1.0\)"),
    (lambda p: Adam([{"params": [p], "betas": (-0.1, 0.9)}]), "Adam.*betas.*-0.1"),
    (lambda p: AdamW([{"params": [p], "weigth_decay": 0}]), "AdamW.*weigth_decay.*weight_decay"),
    (lambda p: Adam([]), "Adam"),
    (lambda p: Adam(iter(())), "Adam"),
    (lambda p: Adam([p, p]), r"Adam.*\(2, 3\)"),
    (lambda p: Adam([{"params": [p]}, {"params": [p]}]), r"Adam.*\(2, 3\)"),
    (lambda p: Adam([p.detach()]), r"Adam.*\(2, 3\)"),
    (lambda p: Adam([p * 2]), r"Adam.*\(2, 3\)"),
])
def test_bad_settings_and_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make(Tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize("params", [Tensor([1.0], requires_grad=True), [np.ones(3)], {"params": []}, [("w", None)]])
def test_what_is_no_list_of_tensors(params):
    with pytest.raises(TypeError, match="Adam"):
        Adam(params)


def test_a_refused_group_leaves_the_optimizer_as_it_was():
    a, b = Tensor([1.0], requires_grad=True), Tensor([1.0], requires_grad=True)
    optimizer = Adam([a])
    with pytest.raises(ValueError, match="Adam"):
        optimizer.add_param_group({"params": [b, a]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_of_another_shape_changes_nothing(name):
    params = make_params()
    before = [p.data.copy() for p in params]
    optimizer = OPTIMIZERS[name](params)
    for p in params:
        p.grad = np.ones(p.shape)
    params[1].data = before[1] = np.ones((1, 5))
    with pytest.raises(ValueError, match=r"\(1, 5\)"):
        optimizer.step()
    assert optimizer.state_dict()["state"] == {}
    for p, x in zip(params, before):
        np.testing.assert_array_equal(p.data, x)


def test_a_rule_of_your_own():
    "Only `moment_names` and `update` are needed: here steps of constant length along the sign."
    class SignSGD(Optimizer):
        def moment_names(self, group):
            return []

        def update(self, params, grads, moments, steps, *, lr):
            assert moments == []
            for x, grad, step in zip(params, grads, steps):
                x -= lr * step * np.sign(grad)

    p = Tensor([1.0, 2.0], requires_grad=True)
    p.grad = np.array([5.0, -1e-3], np.float32)
    optimizer = SignSGD([p], lr=0.5)
    optimizer.step()
    assert p.data.tolist() == [0.5, 2.5]
    optimizer.step()
    assert p.data.tolist() == [-0.5, 3.5], "the second step has number 2"


# ---- saving and resuming

@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("stop", [3, 10, 70])
def test_resume_is_bit_for_bit(name, stop):
    def start(params):
        optimizer = OPTIMIZERS[name]([{"params": params[:2]}, {"params": params[2:], "lr": 0.05}])
        return params, optimizer, LambdaLR(optimizer, warmup_cosine(10, 100))

    straight = start(make_params())
    run(*straight, range(80))

    first = start(make_params())
    run(*first, range(stop))
    params, optimizer, schedule = start([Tensor(p.data, requires_grad=True) for p in first[0]])
    optimizer.load_state_dict(first[1].state_dict())
    schedule.load_state_dict(first[2].state_dict())
    run(params, optimizer, schedule, range(stop, 80))

    assert schedule.get_last_lr() == straight[2].get_last_lr()
    for p, q in zip(params, straight[0]):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("name", ["momentum", "Adam"])
def test_a_saved_state_is_a_copy_both_ways(name):
    params = make_params()
    optimizer = OPTIMIZERS[name](params)
    schedule = LambdaLR(optimizer, lambda step: 1.0)
    run(params, optimizer, schedule, range(6))
    saved = optimizer.state_dict()
    expected = copy.deepcopy(saved)
    run(params, optimizer, schedule, range(6, 9))
    optimizer.load_state_dict(saved)
    run(params, optimizer, schedule, range(9, 12))
    assert saved["param_groups"] == expected["param_groups"]
    for i, entry in expected["state"].items():
        for moment, value in entry.items():
            np.testing.assert_array_equal(saved["state"][i][moment], value)


def test_state_has_pytorchs_shape(torch):
    params = make_params()
    optimizer = AdamW(params, lr=0.1, weight_decay=0.2)
    run(params, optimizer, LambdaLR(optimizer, lambda step: 1.0), range(7))
    twins = [torch.tensor(p.data, requires_grad=True) for p in params]
    twin = torch.optim.AdamW(twins, lr=0.1, weight_decay=0.2)
    for p in twins:
        p.grad = torch.ones_like(p)
    twin.step()
    ours, theirs = optimizer.state_dict(), twin.state_dict()
    assert ours["state"].keys() == theirs["state"].keys() == {0, 1, 2, 3}
    assert ours["state"][0].keys() == theirs["state"][0].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert [entry["step"] for entry in ours["state"].values()] == [7, 2, 7, 7]
    assert ours["param_groups"][0]["params"] == theirs["param_groups"][0]["params"] == [0, 1, 2, 3]
    optimizer.load_state_dict(theirs)
    np.testing.assert_array_equal(optimizer.state_dict()["state"][2]["exp_avg"], theirs["state"][2]["exp_avg"].numpy())


def change_shape(state):
    state["state"][2]["exp_avg"] = np.ones((180, 200))


def lose_a_moment(state):
    del state["state"][3]["exp_avg_sq"]


def lose_a_parameter(state):
    state["param_groups"][0]["params"].pop()


def break_a_setting(state):
    state["param_groups"][0]["lr"] = -1.0


@pytest.mark.parametrize("damage, facts", [
    (change_shape, ["(200, 180)", "exp_avg", "(180, 200)"]),
    (lose_a_moment, ["exp_avg_sq"]),
    (lose_a_parameter, ["3", "4"]),
    (break_a_setting, ["lr", "-1.0"]),
])
def test_a_state_that_does_not_fit_changes_nothing(damage, facts):
    params = make_params()
    optimizer = Adam(params, lr=0.1)
    run(params, optimizer, LambdaLR(optimizer, lambda step: 1.0), range(6))
    before = optimizer.state_dict()
    damaged = copy.deepcopy(before)
    damage(damaged)
    damaged["state"][0]["exp_avg"] += 1
    with pytest.raises(ValueError) as raised:
        optimizer.load_state_dict(damaged)
    assert [fact for fact in facts if fact not in str(raised.value)] == []
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i, entry in before["state"].items():
        for name, value in entry.items():
            np.testing.assert_array_equal(after["state"][i][name], value)


def test_an_optimizer_of_your_own_needs_moments_and_an_update():
    p = Tensor([1.0], requires_grad=True)
    p.grad = np.ones(1, np.float32)
    with pytest.raises(NotImplementedError, match="Optimizer.moment_names"):
        Optimizer([p]).step()

    class Sign(Optimizer):
        def moment_names(self, group):
            return []

    with pytest.raises(NotImplementedError, match="Sign.update"):
        Sign([p]).step()

    def update(self, params, grads, moments, steps, lr):
        np.subtract(params[0], lr * np.sign(grads[0]), out=params[0])

    Sign.update = update
    Sign([p], lr=0.25).step()
    assert p.item() == 0.75
