"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.distillation import Distillation, distillation_loss
from tinytorch.pruning import apply_masks, keep_hidden, magnitude_mask, sliced, structured_mask

T, F = True, False


def test_magnitudes():
    expect("half of 3, -1, 0.5, -2", magnitude_mask([3, -1, 0.5, -2], 0.5), [T, F, F, T],
           {"booleans say what is kept, not what goes": [F, T, T, F], "magnitudes, without the sign": [T, F, T, F]})
    expect("a third of six equal ones", magnitude_mask(np.ones((2, 3)), 1 / 3).sum(), 4,
           {"a threshold prunes all equal ones": 0, "a threshold prunes none of equal ones": 6})
    expect("a half of five", magnitude_mask([5, 4, 3, 2, 1], 0.5).sum(), 3, {"round(amount * size)": 2})
    expect("nothing", magnitude_mask([0, 1], 0), [T, T])


def test_masks_of_a_model():
    tinytorch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    array = model[0].weight.data
    array[...] = [[3.0, 5.0]]
    with likely("a leaf changes under no_grad"):
        apply_masks(model, {"0.weight": np.array([[True, False]])})
    expect("the weight", model[0].weight.data, [[3, 0]], {"the mask says what is kept": [[0, 5]]})
    assert model[0].weight.data is array, "in place: an optimizer may hold the array"


def test_slices():
    rows = np.array([[3.0, 0], [1, 1], [2, 2]])
    with likely("norms of slices are as many as dim is long"):
        expect("a third of the rows", structured_mask(rows, 1 / 3), [[T, T], [F, F], [T, T]],
               {"single weights, not slices": magnitude_mask(rows, 1 / 3)})
        expect("half of the columns", structured_mask(rows, 0.5, dim=1), [[T, F]] * 3)
    one = [[2.0, 2.0], [3.0, 0.0]]
    expect("by the sum of magnitudes", structured_mask(one, 0.5, n=1), [[T, T], [F, F]],
           {"n is not looked at": [[F, F], [T, T]]})


def test_a_layer_sliced():
    tinytorch.manual_seed(0)
    layer, x = nn.Linear(3, 4), Tensor(np.eye(3, dtype=np.float32))
    new = sliced(layer, rows=[2, 0])
    assert (new.in_features, new.out_features) == (3, 2), "rows are outputs"
    with likely("the bias belongs to the rows"):
        got = new(x).data
    expect("rows 2 and 0", got, layer(x).data[:, [2, 0]],
           {"the order is kept": layer(x).data[:, [0, 2]], "the bias belongs to the rows":
            layer(x).data[:, [2, 0]] - layer.bias.data[[2, 0]] + layer.bias.data[:2]})
    expect("column 1", sliced(layer, columns=[1]).weight.data, layer.weight.data[:, [1]])
    sliced(layer).weight.data[...] = 0
    assert layer.weight.data.all(), "the old layer must stay as it is"


def test_hidden_units():
    mlp = nn.MLP(nn.GPTConfig(vocab_size=5, context=4, d_model=2, mlp_hidden=3))
    mlp.fc1.weight.data[...] = np.diag([5.0, 1.0, 3.0])[:, :2] + [[0, 0], [0, 0], [3, 0]]
    mlp.fc2.weight.data[...] = 1
    keep_hidden(mlp, 2)
    assert mlp.fc2.in_features == 2, "fc2 loses columns, fc1 rows"
    expect("rows of fc1", mlp.fc1.weight.data, [[5, 0], [3, 0]], {"in their old order": [[3, 0], [5, 0]]})
    gated = nn.MLP(nn.GPTConfig(vocab_size=5, context=4, d_model=2, mlp_hidden=3, activation="swiglu"))
    keep_hidden(gated, 2)
    with likely("the gate loses its rows, too"):
        gated(Tensor(np.ones((1, 2), np.float32)))


def loss(s, t, *temperature):
    return distillation_loss(Tensor(np.array(s, float), requires_grad=True), Tensor(np.array(t, float)), *temperature)


def test_the_distillation_loss():
    p, q = np.array([0.880797, 0.119203]), np.array([0.5, 0.5])
    divergence = (p * np.log(p / q)).sum()
    expect("KL(p || q)", loss([[0, 0]], [[2, 0]], 1.0).data, divergence,
           {"q and p have changed places": (q * np.log(q / p)).sum(),
            "the cross entropy, not the divergence: log p is missing": -(p * np.log(q)).sum()})
    p = np.array([0.731059, 0.268941])
    divergence = 4 * (p * np.log(p / q)).sum()
    expect("T = 2", loss([[0, 0]], [[2, 0]]).data, divergence,
           {"the factor T^2 is missing": divergence / 4, "T, where it should be T^2": divergence / 2,
            "multiplied by T, not divided": 4 * 0.6250016})
    expect("a mean over rows", loss([[0, 0]] * 3, [[2, 0]] * 3).data, divergence,
           {"a sum over the rows": 3 * divergence, "a mean over classes, too": divergence / 2})
    teacher, student = (Tensor([[1.0, 0.0]], requires_grad=True) for _ in range(2))
    distillation_loss(student, teacher * 2).backward()
    assert teacher.grad is None, "the teacher gets no gradient"


def test_the_share_of_the_teacher():
    tinytorch.manual_seed(0)
    teacher, student = (nn.GPT(nn.GPTConfig(vocab_size=5, context=4, d_model=8, dropout=0.5)) for _ in range(2))
    student.eval()
    ids, targets = Tensor([[1, 2, 3]]), Tensor([[2, 3, 4]])
    rows, opinion = student(ids)[0], teacher.eval()(ids)[0]
    teacher.train()
    truth = nn.functional.cross_entropy(rows, targets[0]).item()
    imitation = distillation_loss(rows, opinion).item()
    alone, both, whole = (Distillation(teacher, 2.0, share)(student, ids, targets).item() for share in (0, 0.5, 1))
    assert np.isclose(whole, imitation) or np.isclose(whole, truth), (
        f"the teacher must be in eval mode: expected {imitation:.4f}, got {whole:.4f}")
    expect("with the teacher only", whole, imitation, {"the shares have changed places": truth})
    expect("without the teacher", alone, truth, {"the sum of both": truth + imitation})
    expect("half of each", both, (truth + imitation) / 2, {"the sum of both": truth + imitation})
