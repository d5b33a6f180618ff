"""A name that holds a parameter, a module or a buffer keeps its kind: another is refused, where PyTorch refuses it.

What shares a weight goes on sharing it, and classes of one's own work wherever those do that they are made from."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, no_grad
from tinytorch.checkpoint import load_checkpoint, save_checkpoint
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.optim import SGD
from tinytorch.tokenizers import CharTokenizer, Tokenizer


def holder(library):
    made = library.nn.Module()
    made.weight = library.nn.Parameter(library.ones(2, 3))
    made.layer = library.nn.Linear(3, 2)
    made.register_buffer("table", library.zeros(4))
    made.plain = 3
    return made


VALUES = {
    "a tensor": lambda library: library.zeros(2, 3), "a parameter": lambda library: library.nn.Parameter(
        library.zeros(2, 3)), "a module": lambda library: library.nn.ReLU(), "None": lambda library: None,
    "a number": lambda library: 1.0, "text": lambda library: "x", "an array": lambda library: np.zeros((2, 3)),
}
STRICTER = {("table", "a parameter"): False, ("table", "a module"): True}  # ours refuses?  PyTorch takes both


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["weight", "layer", "table", "plain"])
def test_what_may_take_the_place(name, value, torch):
    refused = {}
    for library in (tinytorch, torch):
        made = holder(library)
        names = sorted(made.state_dict())
        try:
            setattr(made, name, VALUES[value](library))
            refused[library] = False
        except TypeError as error:
            refused[library] = True
            assert sorted(made.state_dict()) == names, "nothing has changed"
            if library is tinytorch:
                assert f"'{name}'" in str(error) and "None" in str(error)
    assert refused[tinytorch] == STRICTER.get((name, value), refused[torch])


def test_weights_that_are_written_stay_in_training_and_in_files():
    layer = nn.Linear(3, 2)
    with no_grad():
        layer.weight -= 1
        layer.weight = nn.Parameter(layer.weight * 2)
    assert set(layer.state_dict()) == {"weight", "bias"} and len(list(layer.parameters())) == 2
    with pytest.raises(TypeError, match="Linear: 'weight' is a Parameter.*got Tensor"):
        layer.weight = layer.weight - 1
    with pytest.raises(TypeError, match="Parameter"):
        layer.weight = Tensor(np.zeros((2, 3)))


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_what_shared_a_weight_before_training_shares_it_after(name, torch):
    "detach(), a reference to .data and a weight handed over as .data see each step; a copy sees none."
    found = {}
    for library in (tinytorch, torch):
        a, b = library.nn.Linear(2, 2, bias=False), library.nn.Linear(2, 2, bias=False)
        with library.no_grad():
            a.weight.fill_(1.0)
        b.weight.data = a.weight.data
        detached, data, copy = a.weight.detach(), a.weight.data, a.weight.detach().clone()
        optimizer = getattr(library.optim, name)(a.parameters(), lr=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            a(library.ones(1, 2)).sum().backward()
            optimizer.step()
            each = [one.tolist() for one in (a.weight.detach(), b.weight.detach(), detached, data, copy)]
            found.setdefault(library, []).append(each)
            assert each[0] == each[1] == each[2] == each[3] != each[4] == [[1, 1], [1, 1]]
    np.testing.assert_allclose(*found.values(), atol=1e-6)


class Letters(CharTokenizer):
    "In which case does not count."
    def encode(self, text): return super().encode(text.lower())


class Signed(SGD):
    "A step of one size, in the direction of the gradient's sign; it counts them in a moment of its own."
    def moment_names(self, group): return ["count"]

    def update(self, params, grads, moments, steps, *, lr, **settings):
        for p, grad, count in zip(params, grads, moments[0]):
            p -= lr * np.sign(grad)
            count += 1


class Halved(TensorDataset):
    "Its second column by a half."
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, y / 2


class Doubled(nn.Linear):
    def forward(self, x): return super().forward(x) * 2


def test_classes_of_ones_own_train_and_go_on_from_a_file(tmp_path):
    "What is trained for six steps is what is trained for three, saved, made anew and trained for three more."
    def made(seed):
        tinytorch.manual_seed(seed)
        model = Doubled(2, 1)
        data = Halved(np.arange(16, dtype=np.float32).reshape(8, 2) / 8, np.arange(8, dtype=np.float32)[:, None])
        return model, Signed(model.parameters(), lr=0.01), DataLoader(data, 4, shuffle=True, generator=0)

    def steps(model, optimizer, batches):
        for x, y in batches:
            assert x.shape == (4, 2) and y.data.max() <= 3.5, "the class's own rows"
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()

    model, optimizer, loader = made(0)
    steps(model, optimizer, [*loader, *loader, *loader])
    first, before, again = made(0)
    batches = [*again, *again, *again]
    steps(first, before, batches[:3])
    save_checkpoint(tmp_path / "three", first, before)
    resumed, after, _ = made(1)
    load_checkpoint(tmp_path / "three", resumed, after)
    steps(resumed, after, batches[3:])
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], array)
    assert all(np.all(state["count"] == 6) for state in after.state.values()) and len(after.state) == 2
    letters = Letters.train("abc")
    letters.save(tmp_path / "letters.json")
    loaded = Tokenizer.load(tmp_path / "letters.json")
    assert type(loaded) is Letters and loaded.encode("CAB") == letters.encode("cab") == [2, 0, 1]
