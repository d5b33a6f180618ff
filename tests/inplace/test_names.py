"""A name that holds a parameter, a module or a buffer keeps its kind: another is refused, where PyTorch refuses it."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, no_grad


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
