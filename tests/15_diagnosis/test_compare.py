"""Side by side: the first layer that differs, and sweeps."""
import numpy as np
import pytest

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.diagnosis import first_difference, sweep


def gpt():
    return nn.GPT(nn.GPTConfig(vocab_size=11, context=8, d_model=16, num_layers=2, num_heads=2))


IDS = np.random.default_rng(0).integers(0, 11, (3, 8))


def test_equal_models_do_not_differ():
    model, other = gpt(), gpt()
    other.load_state_dict(model.state_dict())
    found = first_difference(model, other, IDS)
    assert found.first is None and str(found).endswith("first that differs: none")
    assert [row.layer for row in found.rows][:3] == ["token_embedding", "position_embedding",
                                                         "transformer.blocks.0.norm1"]


@pytest.mark.parametrize("path", [
    "token_embedding", "transformer.blocks.0.norm1", "transformer.blocks.0.attention.in_proj",
    "transformer.blocks.1.attention.out_proj", "transformer.blocks.1.mlp.fc1", "transformer.norm"])
def test_the_first_layer_is_named(path):
    model, other = gpt(), gpt()
    other.load_state_dict(model.state_dict())
    dict(other.named_modules())[path].weight.data[...] *= 1.5
    found = first_difference(model, other, IDS)
    assert found.first.layer == path and found.first.largest > 1e-3
    assert f"first that differs: {path}" in str(found)


def test_a_module_against_functions_in_another_shape():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    w = model.state_dict()

    def functions(x, activation=lambda x: x.tanh()):
        hidden = activation(F.linear(x, Tensor(w["0.weight"])).reshape(5, 2, 3) + w["0.bias"].reshape(2, 3))
        return F.linear(hidden.reshape(5, 6), Tensor(w["2.weight"]), Tensor(w["2.bias"]))

    x = Tensor(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))
    assert first_difference(model, functions, x).first is None
    assert first_difference(model, lambda x: functions(x, F.sigmoid), x).first.layer == "1"


def test_modes_are_put_back():
    model = gpt()
    first_difference(model, model, IDS)
    assert all(module.training for module in model.modules())


def test_sweep_runs_every_combination():
    seen = []

    def run(rate, width):
        seen.append((rate, width))
        return (rate - 2) ** 2 + width

    found = sweep(run, rate=[1, 2, 4], width=[3, 5])
    assert len(seen) == 6 and len(set(seen)) == 6
    assert found.best() == {"rate": 2, "width": 3, "result": 3.0}
    down, across, table = found.grid("width", "rate")
    assert (down, across) == ([3, 5], [1, 2, 4]) and table.tolist() == [[4, 3, 7], [6, 5, 9]]
    lines = str(found).splitlines()
    assert lines[0].split() == ["rate", "width", "result"] and lines[1].split() == ["2", "3", "3"] and len(lines) == 7


def test_sweep_needs_values():
    with pytest.raises(ValueError, match="setting"):
        sweep(lambda rate: rate, rate=[])
