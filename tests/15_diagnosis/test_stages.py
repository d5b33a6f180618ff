"""Each stage finds what it is there for, says where, and leaves everything as it was."""
import copy
import io
import json
from contextlib import contextmanager

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor, fast
from tinytorch.diagnosis import (
    CATALOGUE,
    Case,
    Finding,
    Report,
    diagnose,
    examine_backward,
    examine_data,
    examine_forward,
    examine_graph,
    examine_learning,
    examine_update,
)
from tinytorch.diagnosis.case import training_step
from tinytorch.diagnosis.experiment import Proof, experiment
from tinytorch.diagnosis.graph import measure_slopes
from tinytorch.diagnosis.learning import find_loop
from tinytorch.dispatch import chosen, plain_forms
from tinytorch.ops.elementwise import Function
from tinytorch.optim import SGD, AdamW, LambdaLR
from tinytorch.state import default_generator, is_grad_enabled, thread
from tinytorch.tensor import apply


def class_loss(model, x, labels):
    return F.cross_entropy(model(x), labels)


def token_loss(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def points(seed=0, rows=64):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    return Tensor((rng.standard_normal((4, 8))[labels] + 0.5 * rng.standard_normal((rows, 8))).astype(np.float32)), \
        Tensor(labels)


def network(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(8, 16), activation(), nn.Linear(16, 4))


def tokens(seed=0, rows=16, length=8):
    ids = np.random.default_rng(seed).integers(0, 12, (rows, length + 1))
    return Tensor(ids[:, :-1]), Tensor(ids[:, 1:])


def gpt(**options):
    return nn.GPT(nn.GPTConfig(vocab_size=12, context=8, d_model=16, num_layers=1, num_heads=2, **options))


def faults(findings):
    return [finding.fault for finding in findings]


# ---- nothing is touched

class Restless(nn.Module):
    "A model that does all that an examination could leave behind: dropout, a buffer that moves, counting."
    def __init__(self):
        self.first, self.dropout, self.last = nn.Linear(8, 16), nn.Dropout(0.3), nn.Linear(16, 4)
        self.register_buffer("running", Tensor(np.zeros(16, np.float32)))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        hidden = self.dropout(self.first(x).relu())
        self.running.data[...] += hidden.data.mean(0)
        self.running = Tensor(self.running.data + 1)
        return self.last(hidden)


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: AdamW(p, lr=1e-2)])
@pytest.mark.parametrize("steps", [0, 3])
def test_everything_is_as_it_was_bit_for_bit(make, steps):
    model = Restless()
    optimizer, batch = make(model.parameters()), points()
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for _ in range(steps):
        training_step(model, batch, class_loss, optimizer)
        schedule.step()
    model.last.bias.requires_grad = False
    model.dropout.eval()
    gradients = [p.grad for p in model.parameters()]

    def everything():
        return copy.deepcopy({
            "weights": model.state_dict(), "optimizer": optimizer.state_dict(), "calls": model.calls,
            "gradients": [None if g is None else g.data.copy() for g in gradients],
            "modes": [m.training for m in model.modules()], "batch": [x.data for x in batch],
            "wanted": [p.requires_grad for p in model.parameters()], "random": default_generator().bit_generator.state})

    before, arrays, generator = everything(), [p.data for p in model.parameters()], default_generator()
    diagnose(model, batch, class_loss, optimizer, held_out=points(1))
    after = everything()
    np.testing.assert_equal(after, before)
    assert all(p.data is array for p, array in zip(model.parameters(), arrays)), "the very same arrays"
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients)), "and the same gradients"
    assert default_generator() is generator and thread.observer is None and is_grad_enabled()


def test_training_goes_on_as_if_nobody_had_looked():
    def run(look):
        tinytorch.manual_seed(0)
        model = Restless()
        optimizer, losses = AdamW(model.parameters(), lr=1e-2), []
        for step in range(6):
            if look and step == 3:
                diagnose(model, points(), class_loss, optimizer)
            training_step(model, points(step), class_loss, optimizer)
            losses.append(class_loss(model, *points(step)).item())
        return losses

    assert run(look=True) == run(look=False)


def test_all_is_put_back_when_a_model_fails_halfway():
    model = network()
    kept = model.state_dict()
    case = Case(model, points(), class_loss)
    with pytest.raises(KeyError), case.untouched():
        model[0].weight.data[...] = 7
        model[0].weight.requires_grad = False
        raise KeyError
    np.testing.assert_equal(model.state_dict(), kept)
    assert model[0].weight.requires_grad


def test_it_also_works_inside_no_grad():
    model = network()
    with tinytorch.no_grad():
        assert not diagnose(model, points(), class_loss, AdamW(model.parameters(), lr=1e-2)).findings


# ---- graph

class Sliced(nn.LearnedPositions):
    def forward(self, length, offset=0):
        return Tensor(self.weight.data[offset:offset + length])


def test_a_cut_is_named_with_the_operation_behind_it():
    model = gpt()
    model.position_embedding = Sliced(8, 16)
    (finding,) = examine_graph(Case(model, tokens(), token_loss))
    assert finding.fault == "cut" and finding.severity == "severe" and finding.chapter == 3
    assert finding.what.startswith("position_embedding.weight: no gradient")
    assert "Add" in finding.what and finding.evidence["measured slope"] != 0


@pytest.mark.parametrize("hide", [lambda x: x.detach(), lambda x: Tensor(x.data), lambda x: Tensor(np.tanh(x.data))])
def test_a_cut_between_layers_names_all_in_front_of_it(hide):
    class Cut(nn.Module):
        def __init__(self):
            self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.second(hide(self.first(x)).relu())

    (finding,) = examine_graph(Case(Cut(), points(), class_loss))
    assert finding.fault == "cut" and "first.weight, first.bias" in finding.what and "second" not in finding.what
    assert "Relu (test_stages.py:" in finding.what


def test_a_layer_that_is_never_called_is_only_noted():
    model = network()
    model.add_module("spare", nn.Linear(3, 3))
    model.forward = lambda x: model[2](model[1](model[0](x)))
    (finding,) = examine_graph(Case(model, points(), class_loss))
    assert (finding.fault, finding.severity) == ("unused", "note") and "spare.weight" in finding.what


def test_without_any_graph():
    for forward in (tinytorch.no_grad()(lambda x: network()(x)), lambda x: network()(x).detach()):
        model = network()
        model.forward = forward
        assert faults(examine_graph(Case(model, points(), class_loss))) == ["no-graph"]
    (finding,) = examine_graph(Case(network().requires_grad_(False), points(), class_loss))
    assert "No parameter requires a gradient" in finding.what


def test_parameters_missing_foreign_unregistered_shared_and_copied():
    model = network()
    assert faults(examine_graph(Case(model, points(), class_loss, SGD(model[0].parameters(), lr=1)))) == ["left-out"]
    optimizer = SGD(model.parameters(), lr=1)
    model = nn.Sequential(model[0], model[1], nn.Linear(16, 4))
    assert faults(examine_graph(Case(model, points(), class_loss, optimizer))) == ["foreign"]
    layer = nn.Linear(8, 8)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(8, 4))
    (finding,) = examine_graph(Case(model, points(), class_loss))
    assert finding.fault == "shared" and finding.what.startswith("0, 2 are one")
    weight = model[3].weight.data
    del model[3].weight  # a Module refuses a Tensor in its place
    model[3].weight = Tensor(weight, requires_grad=True)
    assert "unregistered" in faults(examine_graph(Case(model, points(), class_loss)))
    model = gpt()
    assert not examine_graph(Case(model, tokens(), token_loss)), "a tied head is no fault"
    model.head.weight = nn.Parameter(model.token_embedding.weight)
    assert faults(examine_graph(Case(model, tokens(), token_loss))) == ["untied"]


# ---- forward

@pytest.mark.parametrize("change, fault", [
    (lambda m: m[0].bias.data.fill(-9), "dead-units"),
    (lambda m: m[2].weight.data.__imul__(40), "start-too-large"),
    (lambda m: m[0].weight.data.fill(np.inf), "not-finite-loss"),
])
def test_activations(change, fault):
    model = network(nn.ReLU)
    assert not examine_forward(Case(model, points(), class_loss))
    change(model)
    assert fault in faults(examine_forward(Case(model, points(), class_loss)))


def test_saturated_units():
    model = network(nn.Tanh)
    model[0].weight.data *= 50
    assert faults(examine_forward(Case(model, points(), class_loss))) == ["saturated"]


class Masked(nn.TransformerBlock):
    "Attention with a mask of our choice."
    def forward(self, x, attn_mask=None, is_causal=False, cache=None):
        return super().forward(x, attn_mask=self.make_mask(x.shape[1]))


@pytest.mark.parametrize("make_mask, expected", [
    (lambda T: np.tril(np.ones((T, T), bool)), []),
    (lambda T: np.ones((T, T), bool), ["leak"]),
    (lambda T: np.tril(np.ones((T, T), bool), 1), ["leak"]),
    (lambda T: np.triu(np.ones((T, T), bool)), ["mask-inverted"]),
    (lambda T: np.triu(np.ones((T, T), bool), 1), ["mask-inverted"]),
])
def test_masks(make_mask, expected):
    model = gpt()
    model.transformer.blocks = nn.ModuleList([Masked(model.config)])
    model.transformer.blocks[0].make_mask = make_mask
    assert faults(examine_forward(Case(model, tokens(), token_loss))) == expected


def test_a_model_that_may_look_ahead_is_not_blamed():
    model = gpt()
    model.transformer.blocks = nn.ModuleList([Masked(model.config)])
    model.transformer.blocks[0].make_mask = lambda T: np.ones((T, T), bool)
    ids, _ = tokens()
    assert not examine_forward(Case(model, (ids, Tensor(ids.data[:, ::-1].copy())), token_loss))


def test_order_and_ignored_positions():
    model = gpt()
    model.position_embedding = None
    assert faults(examine_forward(Case(model, tokens(), token_loss))) == ["order-blind"]

    class Late(nn.Module):
        def __init__(self):
            self.model = gpt()

        def forward(self, ids):
            return self.model(Tensor(np.where(np.arange(8) == 0, 0, ids.data)))

    (finding,) = examine_forward(Case(Late(), tokens(), token_loss))
    assert finding.fault == "input-ignored" and "position 0" in finding.what


def test_evaluation_that_is_random():
    model = network()
    model.add_module("3", nn.Dropout(0.5))
    assert not examine_forward(Case(model, points(), class_loss))
    model.forward = lambda x: F.dropout(model[2](model[0](x)), 0.5)
    assert "random-evaluation" in faults(examine_forward(Case(model, points(), class_loss)))


# ---- backward

class Wrong(Function):
    "x^2, with a gradient of x"
    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, grad):
        return (grad * self.x,)


def test_a_wrong_backward_is_named():
    model = network()
    model.forward = lambda x: model[2](apply(Wrong(), model[0](x)))
    (finding,) = examine_backward(Case(model, points(), class_loss))
    assert finding.fault == "wrong-backward" and "Wrong (test_stages.py:" in finding.what and "0.weight" in finding.what


def test_a_gradient_with_a_missing_part_is_found_where_it_is_lost():
    model = network()
    model.forward = lambda x: model[2](model[1](model[0](x)) + model[0](x).detach())
    (finding,) = examine_backward(Case(model, points(), class_loss))
    assert finding.fault == "wrong-gradient" and "Add (test_stages.py:" in finding.what
    assert finding.evidence["gradient says"] != finding.evidence["loss does"]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Sigmoid, nn.SiLU])
def test_right_gradients_agree_by_far(activation):
    case = Case(network(activation), points(), class_loss)
    assert not examine_backward(case)
    slopes = measure_slopes(case)
    scale = max(abs(slope) for _, slope in slopes.values())
    assert len(slopes) == 4 and all(abs(predicted - slope) < 1e-5 * scale for predicted, slope in slopes.values())


def test_slopes_of_a_model_that_is_float32_inside():
    model = network()
    model.forward = lambda x: model[2](model[1](model[0](x).float())).double()
    assert not examine_backward(Case(model, points(), class_loss))


def test_vanishing():
    layers = [layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
    found = examine_backward(Case(nn.Sequential(*layers, nn.Linear(8, 4)), points(), class_loss))
    assert faults(found) == ["gradients-vanish"]


# ---- update

def test_rates():
    def found(rate):
        tinytorch.manual_seed(0)
        model = network()
        case = Case(model, points(), class_loss, AdamW(model.parameters(), lr=rate))
        return faults(examine_update(case)), case.measured["suggested rate"]

    for rate, expected in ((3e-4, ["rate-too-low"]), (3e-2, []), (3e2, ["rate-too-high"])):
        fault, suggested = found(rate)
        assert fault == expected, f"rate {rate}: {fault}"
        assert 1e-3 < suggested < 30, f"rate {rate}: suggested {suggested}"


def test_the_rate_that_a_schedule_works_up_to_counts():
    model = network()
    optimizer = AdamW(model.parameters(), lr=1e-1)
    LambdaLR(optimizer, lambda step: min(1, (step + 1) / 1000))
    assert not examine_update(Case(model, points(), class_loss, optimizer))


@pytest.mark.parametrize("make", [lambda p: SGD(p, lr=0.1), lambda p: AdamW(p, lr=0.05)])
@pytest.mark.parametrize("clip", [False, True])
def test_stale_gradients(make, clip):
    def step(model, batch, loss_fn, optimizer, clear=False):
        if clear:
            model.zero_grad()
        loss_fn(model, *batch).backward()
        if clip:
            tinytorch.optim.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    def found(step):
        tinytorch.manual_seed(0)
        model = network()
        return faults(examine_update(Case(model, points(), class_loss, make(model.parameters()), step=step)))

    assert found(step) == ["stale-gradients"]
    assert "stale-gradients" not in found(lambda *args: step(*args, clear=True))

    def cleared_afterwards(model, batch, loss_fn, optimizer):
        step(model, batch, loss_fn, optimizer)
        model.zero_grad()

    assert "stale-gradients" not in found(cleared_afterwards), "whoever clears behind the step starts fresh as well"


def test_weights_that_do_not_move():
    model = network()
    optimizer = SGD(model.parameters(), lr=0.0)
    assert faults(examine_update(Case(model, points(), class_loss, optimizer))) == ["no-update"]

    def forgets(model, batch, loss_fn, optimizer):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()

    optimizer = SGD(model.parameters(), lr=0.1)
    assert faults(examine_update(Case(model, points(), class_loss, optimizer, step=forgets))) == ["no-update"]
    assert faults(examine_update(Case(model, points(), class_loss))) == ["skipped"], "without an optimizer"


def test_gradients_that_nobody_clears_are_no_matter_where_nobody_uses_them():
    model = network()
    optimizer = SGD(model[2].parameters(), lr=0.1)
    assert "stale-gradients" not in faults(examine_update(Case(model, points(), class_loss, optimizer)))


# ---- learning

def test_labels_that_have_nothing_to_do_with_inputs():
    def found(labels):
        tinytorch.manual_seed(0)
        model, (x, _) = network(nn.ReLU), points(0, 256)
        batch, held_out = (x, labels), (x[:64], Tensor(np.random.default_rng(5).integers(0, 4, 64)))
        return examine_learning(Case(model, batch, class_loss, AdamW(model.parameters(), lr=1e-2), held_out=held_out))

    assert faults(found(Tensor(np.random.default_rng(3).integers(0, 4, 256)))) == ["labels-unrelated"]


def test_what_cannot_be_learned_by_heart():
    model = network()
    model.forward = lambda x: model[2](model[1](model[0](x * 0.0)))
    case = Case(model, points(), class_loss, AdamW(model.parameters(), lr=1e-2))
    assert faults(examine_learning(case)) == ["cannot-overfit"]


@pytest.mark.parametrize("tokens, expected", [([5, 1, 2, 1, 2, 1, 2], (2, 3)), ([3, 3, 3, 3], (1, 4)), ([1, 2], (1, 1)),
                                              ([], (1, 1)), ([1, 1, 1, 2], (1, 1)), ([0] + [1, 1, 2] * 5, (3, 5))])
def test_loops(tokens, expected):
    assert find_loop(tokens) == expected


def test_decoding_in_a_circle():
    for text, expected in (([1, 2, 3] * 20, ["greedy-loop"]), (list(range(60)), [])):
        case = Case(gpt(), tokens(), token_loss, generate=lambda _, text=text: text)
        assert faults(examine_learning(case)) == expected


# ---- data

def test_shifts():
    ids = np.random.default_rng(0).integers(0, 12, (8, 10))
    for inputs, targets, expected in (
            (ids[:, :-1], ids[:, 1:], []), (ids, ids, ["targets-not-shifted"]), (ids[:, ::-1], ids, []),
            (ids[:, :-2], ids[:, 2:], ["targets-shifted-wrong"]), (ids[:, 1:], ids[:, :-1], ["targets-shifted-wrong"])):
        batch = Tensor(inputs.copy()), Tensor(targets.copy())
        assert faults(examine_data(Case(gpt(), batch, token_loss))) == expected


def test_padding_counts_only_where_the_loss_counts_it():
    ids = np.random.default_rng(0).integers(1, 12, (16, 9))
    for row, length in zip(ids, np.random.default_rng(1).integers(2, 9, 16)):
        row[length:] = 0
    inputs, targets = Tensor(ids[:, :-1]), Tensor(ids[:, 1:])
    assert faults(examine_data(Case(gpt(), (inputs, targets), token_loss))) == ["padding-counted"]

    def ignoring(model, ids, targets):
        return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), ignore_index=0)

    assert not examine_data(Case(gpt(), (inputs, targets), ignoring))
    assert not examine_data(Case(gpt(), tokens(), token_loss)), "no padding at all"
    assert not examine_data(Case(gpt(), tokens(), token_loss, pad_token=3))


def test_other_data():
    (x, labels), model = points(), network()
    assert faults(examine_data(Case(model, (x * 1000, labels), class_loss))) == ["input-scale"]
    assert faults(examine_data(Case(model, (x, labels * 0), class_loss))) == ["one-label"]
    assert faults(examine_data(Case(model, (x + np.inf, labels), class_loss))) == ["not-finite-data"]
    assert faults(examine_data(Case(model, (x, labels), class_loss, held_out=(x[:8], labels[:8])))) == ["duplicates"]
    assert not examine_data(Case(model, (x, labels), class_loss, held_out=points(1)))


# ---- operations are known by the kind that they declare

class OwnRelu(Function):
    kind = "relu"

    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, grad):
        return (grad * self.positive,)


class OwnCrossEntropy(Function):
    "The mean over rows, without any options."
    kind = "cross_entropy"

    def forward(self, x, targets):
        p = np.exp(x - x.max(axis=1, keepdims=True))
        self.p, self.targets = p / p.sum(axis=1, keepdims=True), targets
        return -np.log(self.p[np.arange(len(x)), targets]).mean()

    def backward(self, grad):
        dx = self.p.copy()
        dx[np.arange(len(dx)), self.targets] -= 1
        return grad * dx / len(dx), None


class OwnSoftmax(Function):
    kind = "softmax"

    def forward(self, x):
        self.p = np.exp(x - x.max(axis=-1, keepdims=True))
        self.p /= self.p.sum(axis=-1, keepdims=True)
        return self.p

    def backward(self, grad):
        return (self.p * (grad - (grad * self.p).sum(axis=-1, keepdims=True)),)


class OwnAttention(Function):
    "Attention that forgets the scale, and keeps nothing that others could look at."
    kind = "attention"

    def forward(self, query, key, value):
        self.arrays = query, key, value
        shares = np.exp(query @ key.swapaxes(-1, -2))
        self.shares = shares / shares.sum(axis=-1, keepdims=True)
        return self.shares @ value

    def backward(self, grad):
        query, key, value = self.arrays
        dshares = grad @ value.swapaxes(-1, -2)
        dscores = self.shares * (dshares - (dshares * self.shares).sum(axis=-1, keepdims=True))
        return dscores @ key, dscores.swapaxes(-1, -2) @ query, self.shares.swapaxes(-1, -2) @ grad


class Attending(nn.Module):
    def __init__(self, attend):
        self.embedding, self.positions = nn.Embedding(12, 16), nn.LearnedPositions(8, 16)
        self.query, self.key, self.value, self.head = (nn.Linear(16, n) for n in (16, 16, 16, 12))
        self.attend = attend

    def forward(self, ids):
        x = self.embedding(ids) + self.positions(ids.shape[1])
        return self.head(self.attend(self.query(x), self.key(x), self.value(x)))


def undeclared(operation):
    return type("Undeclared", (operation,), {"kind": None})


def test_operations_of_ones_own_are_recognised_by_their_kind():
    model, case = network(), points()
    model[0].bias.data.fill(-9)
    for relu, expected in ((OwnRelu, ["dead-units"]), (undeclared(OwnRelu), [])):
        model.forward = lambda x, relu=relu: model[2](apply(relu(), model[0](x)))
        assert faults(examine_forward(Case(model, case, class_loss))) == expected

    model = network()
    model[2].weight.data *= 40
    for loss, expected in ((OwnCrossEntropy, ["start-too-large"]), (undeclared(OwnCrossEntropy), [])):
        def loss_fn(model, x, labels, loss=loss):
            return apply(loss(), model(x), labels)

        assert faults(examine_forward(Case(model, case, loss_fn))) == expected


def test_attention_of_ones_own():
    def unscaled(softmax):
        return lambda query, key, value: apply(softmax(), query @ key.transpose(1, 2)) @ value

    ids = tokens()[0]
    batch = ids, Tensor(ids.data[:, ::-1].copy())
    for softmax, expected in ((OwnSoftmax, ["scale-missing"]), (undeclared(OwnSoftmax), [])):
        assert faults(examine_forward(Case(Attending(unscaled(softmax)), batch, token_loss))) == expected
    model = Attending(lambda *inputs: apply(OwnAttention(), *inputs))
    assert not diagnose(model, batch, token_loss, AdamW(model.parameters(), lr=1e-2)).findings, "nothing is known of it"


def test_a_function_that_does_not_know_of_kinds(monkeypatch):
    monkeypatch.delattr(Function, "kind")
    model = network(nn.Sigmoid)
    model.forward = lambda x: model[2](model[1](model[0](x)) * 2.0)
    assert not diagnose(model, points(), class_loss, AdamW(model.parameters(), lr=1e-2)).findings


# ---- plain forms are examined, whichever run outside

@contextmanager
def compiled_if_installed():
    try:
        switch = fast.use("compiled")
    except ImportError:
        switch = fast.use("numpy")
    with switch:
        yield


@pytest.mark.parametrize("make", [lambda: (gpt(dropout=0.1), tokens(), token_loss),
                                  lambda: (gpt(positions="rotary", norm="rms_norm"), tokens(), token_loss),
                                  lambda: (Restless(), points(), class_loss)])
def test_the_same_is_found_at_every_level(make):
    def examine():
        tinytorch.manual_seed(0)
        model, batch, loss_fn = make()
        for p in list(model.parameters())[-2:]:
            p.data *= 30
        return diagnose(model, batch, loss_fn, AdamW(model.parameters(), lr=1e-5), held_out=batch).to_dict()

    reports = []
    for level in (lambda: fast.use("plain"), lambda: fast.use("numpy"), compiled_if_installed):
        with level():
            before = dict(chosen)
            reports.append(examine())
            assert chosen == before, "afterwards, what ran before runs again"
    assert len(reports[0]["findings"]) > 1
    for report in reports[1:]:
        np.testing.assert_equal({**report, "seconds": 0}, {**reports[0], "seconds": 0})


def test_plain_forms_inside_of_each_other():
    with fast.use("numpy"):
        before, (outer, inner) = dict(chosen), (plain_forms(), plain_forms())
        outer.__enter__()
        inner.__enter__()
        assert before and not chosen
        outer.__exit__(None, None, None)  # as in two threads: the first to begin is the first to end
        assert not chosen
        inner.__exit__(None, None, None)
        assert chosen == before
        with pytest.raises(KeyError), plain_forms():
            raise KeyError
        assert chosen == before


# ---- all of it

def test_errors_of_the_model_become_findings():
    report = diagnose(network(), (points()[0], Tensor(np.full(64, 4))), class_loss)
    assert faults(report.findings)[0] == "ids-out-of-range" and "target 4" in report.findings[0].what
    report = diagnose(network(), (points()[0][:, :3], points()[1]), class_loss)
    assert faults(report.findings) == ["does-not-run"] and "in_features" not in report.findings[0].what


def test_only_the_stages_that_are_asked_for():
    report = diagnose(gpt(), tokens(), token_loss, stages=["graph", "backward"])
    assert set(report.measured) == {"gradient norms", "slopes", "gradient ratio"}
    with pytest.raises(ValueError, match="grahp.*data, graph"):
        diagnose(gpt(), tokens(), token_loss, stages=["grahp"])


def test_a_plain_function_says_which_parameters_it_has():
    weight = Tensor(np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32) / 3, requires_grad=True)

    def model(x):
        return F.linear(x, weight)

    with pytest.raises(ValueError, match="pass parameters="):
        diagnose(model, points(), class_loss)
    assert not diagnose(model, points(), class_loss, SGD([weight], lr=0.5), parameters={"weight": weight}).findings


def test_a_loss_that_calls_the_model_in_its_own_way():
    "Here a batch is one tensor, and the loss cuts inputs and targets out of it."
    model = gpt()
    ids = np.random.default_rng(0).integers(0, 12, (16, 9))

    def loss_fn(model, ids):
        return token_loss(model, ids[:, :-1], ids[:, 1:])

    assert not diagnose(model, (ids,), loss_fn, AdamW(model.parameters(), lr=1e-2)).findings


def test_the_report_in_all_its_forms():
    proof = Proof("it was nudged", "the slope is", 0.0, 0.5)
    findings = [Finding("unused", "spare"), Finding("no-update", "a <b> & c", {"rate": 0.0, "steps": 3}, proof=proof),
                Finding("cut", "x", proof=proof)]
    report = Report(findings, {"gradient norms": {"x": 1.0}}, 1.5)
    assert faults(report.findings) == ["cut", "no-update", "unused"], "the most important first"
    assert str(report).startswith("diagnosis: 2 severe, 1 note, 1.5 s\n")
    warned = Report([Finding("untied", "x"), Finding("shared", "x")])
    assert warned.headline() == "diagnosis: 2 warnings" and Report([]).headline() == "diagnosis: nothing found"
    assert "<table" in warned.html() and "<table" not in Report([]).html()
    assert "evidence: rate 0, steps 3" in str(report) and max(map(len, str(report).splitlines())) <= 100
    assert "a &lt;b&gt; &amp; c" in report.html() and "http" not in report.html() and "<script" not in report.html()
    assert report._repr_html_() == report.html()
    data = json.loads(json.dumps(report.to_dict()))
    assert data["findings"][0]["fault"] == "cut" and data["findings"][0]["chapter"] == 3


def test_severe_is_only_what_an_experiment_has_shown():
    assert Finding("cut", "x").severity == "warning", "nothing was changed: a question"
    shown = Finding("cut", "x is cut.", proof=Proof("x was nudged", "the slope is", 0.0, 0.5))
    assert shown.severity == "severe"
    assert shown.what == "x is cut. Experiment: x was nudged: the slope is 0.5 instead of 0."
    assert Finding("unused", "x", proof=Proof("x was nudged", "the slope is", 0.0, 0.0)).severity == "note"


def test_an_experiment_puts_everything_back():
    model = network()
    case, kept = Case(model, points(), class_loss), model.state_dict()

    def change():
        model[0].weight.data[...] = 0
        model.eval()

    proof = experiment(case, "all was changed", change, "the loss is", case.loss_value)
    np.testing.assert_equal(model.state_dict(), kept)
    assert proof.before == case.loss_value() != proof.after and model.training


def test_rich_shows_a_table():
    rich = pytest.importorskip("rich.console", reason="the table in the terminal needs the extra: train")
    console = rich.Console(width=120, record=True, file=io.StringIO())
    console.print(Report([Finding("cut", "position.weight")]))
    assert "position.weight" in console.export_text()


def test_the_catalogue_is_complete():
    assert len(CATALOGUE) >= 40
    for name, fault in CATALOGUE.items():
        assert fault.severity in ("severe", "warning", "note") and 1 <= fault.chapter <= 17, name
        assert fault.stage in ("data", "graph", "loss", "forward", "backward", "update", "learning"), name
