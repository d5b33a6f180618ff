"""SGD, Adam and AdamW take the same 100 steps as PyTorch's, in every setting."""
import numpy as np
import pytest

from tinytorch import Tensor, optim
from tinytorch.optim import (
    SGD,
    Adam,
    AdamW,
    LambdaLR,
    adam_update,
    clip_grad_norm_,
    linear_warmup,
    sgd_update,
    warmup_cosine,
)

SHAPES = [(3, 4), (4,), (), (2, 3, 5), (20, 31), (1, 7), (0, 3)]
LARGE = 33_000  # elements of a parameter that fast forms may treat in another way than the small ones


SETTINGS = [
    ("SGD", {"lr": 0.02}),
    ("SGD", {"lr": 0.02, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.02, "momentum": 0.9}),
    ("SGD", {"lr": 0.02, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "betas": (0.0, 0.9)}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.0}),
]


class Race:
    "The same parameters and the same gradients for an optimizer here and for its twin in PyTorch."
    def __init__(self, torch, shapes=SHAPES, seed=0):
        self.torch, self.generator = torch, np.random.default_rng(seed)
        self.start = [self.generator.standard_normal(shape) for shape in shapes]
        self.ours = [Tensor(x, requires_grad=True) for x in self.start]
        self.theirs = [torch.tensor(x, requires_grad=True) for x in self.start]

    def gradients(self, missing=()):
        "A noisy bowl: the gradient depends on where each side is, so that errors would feed back."
        for i, (p, q) in enumerate(zip(self.ours, self.theirs)):
            noise = self.generator.standard_normal(p.shape)
            p.grad = None if i in missing else np.asarray(p.data + noise)
            q.grad = None if i in missing else q.detach() + self.torch.tensor(noise)

    def check(self, atol=1e-10):
        for start, p, q in zip(self.start, self.ours, self.theirs):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=atol)
            assert start.size == 0 or not np.array_equal(start, p.data), f"a parameter of shape {p.shape} never moved"


@pytest.mark.parametrize("name, settings", SETTINGS)
def test_100_steps_equal_pytorch(torch, name, settings):
    race = Race(torch)
    ours = getattr(optim, name)(race.ours, **settings)
    theirs = getattr(torch.optim, name)(race.theirs, **settings)
    for _ in range(100):
        race.gradients()
        ours.step()
        theirs.step()
    race.check()


@pytest.mark.parametrize("name, settings", [SETTINGS[4], SETTINGS[6], SETTINGS[9]])
def test_steps_of_a_large_parameter_between_small_ones_equal_pytorch(torch, name, settings):
    race = Race(torch, [(3, 4), (LARGE,), (5,)])
    sides = getattr(optim, name)(race.ours, **settings), getattr(torch.optim, name)(race.theirs, **settings)
    for _ in range(10):
        race.gradients()
        for optimizer in sides:
            optimizer.step()
    race.check()


@pytest.mark.parametrize("multiplier", [lambda step: 1.0, linear_warmup(30), warmup_cosine(10, 80, floor=0.1)])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_clipping_and_a_schedule_together_equal_pytorch(torch, name, multiplier):
    race, sides = Race(torch), []
    for library, params in ((optim, race.ours), (torch.optim, race.theirs)):
        groups = [{"params": params[::2], "weight_decay": 0.2}, {"params": params[1::2], "lr": 0.03}]
        sides.append(getattr(library, name)(groups, lr=0.01, weight_decay=0.0))
    schedules = [LambdaLR(sides[0], multiplier), torch.optim.lr_scheduler.LambdaLR(sides[1], multiplier)]
    for _ in range(100):
        race.gradients()
        norm = clip_grad_norm_(race.ours, 10.0)
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(race.theirs, 10.0).item(), rel=1e-10) and norm > 10
        for optimizer, schedule in zip(sides, schedules):
            optimizer.step()
            schedule.step()
        assert schedules[0].get_last_lr() == pytest.approx(schedules[1].get_last_lr(), rel=1e-12)
    race.check()


@pytest.mark.parametrize("name, settings", [SETTINGS[3], SETTINGS[6], SETTINGS[9]])
def test_parameters_without_gradients_wait_as_in_pytorch(torch, name, settings):
    race = Race(torch)
    ours = getattr(optim, name)(race.ours, **settings)
    theirs = getattr(torch.optim, name)(race.theirs, **settings)
    for step in range(60):
        late = [1, 4] if step < 20 else []  # no gradient before step 20
        absent = np.flatnonzero(race.generator.random(len(SHAPES)) < 0.2) if step > 40 else []  # now and then
        race.gradients(missing={*late, *absent})
        ours.step()
        theirs.step()
    race.check()


@pytest.mark.parametrize("name, settings", [SETTINGS[4], SETTINGS[9]])
def test_a_group_may_change_its_settings_between_steps(torch, name, settings):
    race = Race(torch)
    sides = getattr(optim, name)(race.ours, **settings), getattr(torch.optim, name)(race.theirs, **settings)
    for step in range(30):
        race.gradients()
        for optimizer in sides:
            optimizer.param_groups[0].update(lr=0.01 * (1 + step % 3), weight_decay=0.1 * (step % 2))
            optimizer.step()
    race.check()


def steps_by_hand(name, x, gradients, lr=1e-3, momentum=0, dampening=0, nesterov=False, betas=(0.9, 0.999), eps=1e-8,
                  weight_decay=None):
    "The formulas as the papers (and PyTorch's manual) print them, for one number."
    decay = {"SGD": 0, "Adam": 0, "AdamW": 0.01}[name] if weight_decay is None else weight_decay
    velocity, m, v = 0, 0, 0
    for t, g in enumerate(gradients, 1):
        if name == "AdamW":
            x -= lr * decay * x
        else:
            g += decay * x
        if name == "SGD":
            velocity = g if t == 1 else momentum * velocity + (1 - dampening) * g
            x -= lr * (g + momentum * velocity if nesterov else velocity if momentum else g)
        else:
            m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
            m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
            x -= lr * m_hat / (v_hat ** 0.5 + eps)
    return x


@pytest.mark.parametrize("name, settings", SETTINGS)
def test_steps_by_hand(name, settings):
    gradients = [0.3, -0.002, 0.7, 0.1, -0.5]
    p = Tensor(np.array([2.0]), requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings)
    for gradient in gradients:
        p.grad = np.array([gradient])
        optimizer.step()
    assert p.item() == pytest.approx(steps_by_hand(name, 2.0, gradients, **settings), abs=1e-12)


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW])
def test_memory_layout_does_not_matter(cls):
    generator = np.random.default_rng(0)
    results = []
    x, gradient = (generator.standard_normal((300, 200)) for _ in range(2))
    for order in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        p = Tensor(x, requires_grad=True)
        q = Tensor(x[:5], requires_grad=True)
        p.data, q.data, p.grad, q.grad = order(x.copy()), order(x[:5].copy()), order(gradient), order(gradient[:5])
        optimizer = cls([p, q], lr=0.1)
        for _ in range(3):
            optimizer.step()
        results.append((p.data.copy(), q.data.copy()))
    for p, q in results[1:]:
        np.testing.assert_array_equal(p, results[0][0])
        np.testing.assert_array_equal(q, results[0][1])
    assert np.abs(results[0][0] - x).max() > 1e-3


@pytest.mark.parametrize("size", [7, LARGE])
def test_data_may_be_bound_to_another_array(size):
    "Parameters are ordinary arrays: what load_state_dict or a student puts there is what is updated, in place."
    p = Tensor(np.zeros(size), requires_grad=True)
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    p.grad = np.ones(size)
    optimizer.step()
    mine = np.full(size, 10.0)
    p.data = mine
    optimizer.step()
    assert p.data is mine and np.all(mine == 10 - 1.5)


def stepped(place):
    "Four steps of two small parameters; `place(data)` gives the array that takes the first one's place after two."
    p, q = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True), Tensor(np.ones(4), requires_grad=True)
    optimizer = AdamW([p, q], lr=0.1)
    for step in range(4):
        if step == 2:
            p.data = place(p.data)
        p.grad, q.grad = np.sin(p.data + step), np.cos(q.data)
        optimizer.step()
    return p, q


def test_a_parameter_may_be_a_view_of_other_memory():
    p, q = stepped(lambda data: data)
    memory = np.zeros(10)  # somebody else's, of which a parameter may be a part
    for place in (np.array, np.asfortranarray, lambda data: np.add(data, 0, out=memory[2:8].reshape(2, 3))):
        elsewhere, beside = stepped(place)
        np.testing.assert_array_equal(elsewhere.data, p.data)
        np.testing.assert_array_equal(beside.data, q.data)
    np.testing.assert_array_equal(memory[2:8], p.data.ravel())  # updated where it lay
    assert not memory[:2].any() and not memory[8:].any()


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay_and_gradients_are_only_read(cls, dtype):
    params = [Tensor(np.ones(shape, dtype), requires_grad=True) for shape in ((3, 2), (LARGE,))]
    for p in params:
        p.grad = np.full(p.shape, 0.5, dtype)
        p.grad.data.flags.writeable = False
    optimizer = cls(params, lr=0.1, weight_decay=0.1, **({"momentum": 0.9, "nesterov": True} if cls is SGD else {}))
    for _ in range(3):
        optimizer.step()
    for p in params:
        assert p.data.dtype == dtype and np.all(p.data < 1)
    for state in optimizer.state_dict()["state"].values():
        assert all(m.dtype == dtype and np.any(m) for name, m in state.items() if name != "step")


def test_mixed_dtypes_in_one_group():
    params = [Tensor(np.ones(3, dtype), requires_grad=True) for dtype in (np.float32, np.float64, np.float32)]
    for p in params:
        p.grad = np.ones(3, p.dtype)
    AdamW(params, lr=0.1, weight_decay=0.0).step()
    assert [p.dtype for p in params] == [np.float32, np.float64, np.float32]
    for p in params:
        np.testing.assert_allclose(p.data, 0.9, rtol=1e-6)


@pytest.mark.parametrize("cls, moment", [(Adam, "exp_avg"), (SGD, "momentum_buffer")])
def test_moments_of_gradients_that_stopped_fade_away(cls, moment):
    p = Tensor(np.ones(4), requires_grad=True, dtype=np.float32)
    optimizer = cls([p], lr=0.1, **({"momentum": 0.9} if cls is SGD else {}))
    p.grad = np.array([1.0, 0.0, 1e-3, 1.0], np.float32)
    optimizer.step()
    p.grad = np.array([0.0, 0.0, 0.0, 1.0], np.float32)
    for _ in range(1216):  # 0.9 ^ 1000 is about 1e-46
        optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert np.all(np.abs(state[moment][:3]) < np.finfo(np.float32).smallest_normal) and state[moment][3] > 0.9
    assert np.all(np.isfinite(p.data))


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1), lambda p: SGD(p, lr=0.1, momentum=0.9), Adam, AdamW])
@pytest.mark.parametrize("size", [3, LARGE])
def test_a_step_never_puts_another_array_in_the_place_of_data(make, size):
    params = [Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((size,), (2, 3), ())]
    arrays, views = [p.data for p in params], [p.detach() for p in params]
    optimizer = make(params)
    for _ in range(3):
        for p in params:
            p.grad = np.ones(p.shape, np.float32)
        optimizer.step()
    for p, array, view in zip(params, arrays, views):
        assert p.data is array and np.shares_memory(view.data, array) and np.all(view.data < 1)


def test_the_rules_work_on_lists_of_arrays_in_place():
    generator = np.random.default_rng(0)
    params, grads = ([generator.standard_normal(shape) for shape in ((3, 4), (5,), ())] for _ in range(2))
    start, buffers = [x.copy() for x in params], [np.ones_like(x) for x in params]
    sgd_update(params, grads, buffers, [1, 2, 3], lr=0.1, momentum=0.5, dampening=0.0, weight_decay=0.0, nesterov=False)
    velocities = [grads[0], 0.5 + grads[1], 0.5 + grads[2]]
    for x, before, buffer, velocity in zip(params, start, buffers, velocities):
        np.testing.assert_allclose(buffer, velocity)
        np.testing.assert_allclose(x, before - 0.1 * velocity)
    sgd_update(params, grads, [], [1, 1, 1], lr=0.0, momentum=0, dampening=0, weight_decay=0.5, nesterov=False)

    start = [x.copy() for x in params]
    for decoupled in (False, True):
        params, m, v = [x.copy() for x in start], [np.zeros_like(x) for x in start], [np.zeros_like(x) for x in start]
        options = {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.01, "weight_decay": 0.2, "decoupled": decoupled}
        adam_update(params, grads, m, v, [1, 1, 2], **options)
        for x, before, g, mean, square, step in zip(params, start, grads, m, v, [1, 1, 2]):
            g = g if decoupled else g + 0.2 * before
            before = before * (1 - 0.1 * 0.2) if decoupled else before
            np.testing.assert_allclose(mean, 0.5 * g)
            np.testing.assert_allclose(square, 0.1 * g * g)
            root = np.sqrt(0.1 * g * g / (1 - 0.9**step)) + 0.01
            np.testing.assert_allclose(x, before - 0.1 * 0.5 * g / (1 - 0.5**step) / root)


def test_a_zero_gradient_does_not_move_adam():
    p = Tensor(np.ones(3), requires_grad=True)
    optimizer = Adam([p], lr=0.1)
    p.grad = np.zeros(3)
    for _ in range(100):
        optimizer.step()
    assert p.data.tolist() == [1, 1, 1]


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW])
def test_the_gradient_of_a_single_number_may_be_a_numpy_scalar(cls):
    p, q = Tensor(np.array(1.0), requires_grad=True), Tensor(np.ones(2), requires_grad=True)
    optimizer = cls([p, q], lr=0.1)
    for late in (True, False):
        p.grad, q.grad = np.float64(1.0), None if late else np.ones(2)
        assert clip_grad_norm_([p, q], 1e6) > 0.9
        optimizer.step()
    assert p.data.shape == () and p.item() < 0.9 and np.all(q.data < 1)


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1), lambda p: SGD(p, lr=0.1, momentum=0.9), Adam, AdamW])
@pytest.mark.parametrize("size", [3, LARGE])
def test_two_parameters_on_one_array_both_move_it(make, size, torch):
    "b.weight.data = a.weight.data: as in PyTorch, step after step, whoever holds the array"
    a, b, apart = (Tensor(np.linspace(-1, 1, size, dtype=np.float32), requires_grad=True) for _ in range(3))
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in (a, b, apart)]
    b.data, theirs[1].data = a.data, theirs[0].data
    held, view = a.data, a.detach()
    optimizer, reference = make([a, b, apart]), getattr(torch.optim, make([a]).name)(theirs, **rates(make([a])))
    for step in range(4):
        for i, (p, q) in enumerate(zip((a, b, apart), theirs)):
            p.grad = np.full(size, 0.5 * i + step - 1, np.float32)
            q.grad = torch.tensor(np.array(p.grad))
        optimizer.step()
        reference.step()
        assert a.data is held and b.data is held and view.data is held
        np.testing.assert_allclose(held, theirs[0].detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(apart.data, theirs[2].detach().numpy(), rtol=1e-5, atol=1e-6)


def rates(optimizer):
    return {name: value for name, value in optimizer.param_groups[0].items() if name in ("lr", "momentum")}
