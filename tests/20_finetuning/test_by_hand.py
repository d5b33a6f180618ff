"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor, manual_seed
from tinytorch.nn.layers import Linear
from tinytorch.nn.lora import LoRALinear, add_lora, lora_parameters, lora_state_dict, merge_lora
from tinytorch.nn.module import Sequential


def layer():
    "W = [[1, 0]], A = [[2, 1], [0, 1]], B = [[3, -1]]: with alpha 1, half of B A is [[3, 1]]"
    made = LoRALinear(Linear(2, 2, bias=False), rank=2, alpha=1.0)
    made.base.weight.data[...] = [[1, 0], [0, 0]]
    made.lora_A.data[...] = [[2, 1], [0, 1]]
    made.lora_B.data[...] = [[3, -1], [1, 1]]
    return made


PRODUCT = np.array([[6.0, 2.0], [2.0, 2.0]])


def test_how_an_adapter_begins():
    manual_seed(0)
    made = LoRALinear(Linear(400, 8), rank=4)
    assert not made.lora_B.data.any(), "lora_B must begin at 0: if both factors are random, the model begins damaged"
    assert made.lora_A.data.any(), "lora_A must not begin at 0: with B at 0 as well, neither ever gets a gradient"
    spread = made.lora_A.data.std() * 20
    assert abs(spread - 1) < 0.15, f"lora_A's standard deviation is 1 / sqrt(in_features), got {spread:.2f} times that"


def test_the_change_of_the_weight():
    with likely("B A, not A B: the shapes do not fit"):
        got = layer().delta().data
    swapped = np.array([[2.0, 1], [0, 1]]) @ [[3.0, -1], [1, 1]]
    expect("delta", got, PRODUCT / 2, {"the scale alpha / rank is missing": PRODUCT, "it is A B, not B A": swapped / 2})


def test_the_output():
    x = np.array([[1.0, 1.0]], np.float32)
    base, change = x @ [[1, 0], [0, 0]], x @ PRODUCT.T / 2
    mistakes = {"the scale alpha / rank is missing": base + 2 * change, "the base's output is missing": change,
                "the adapter's output is missing": base}
    expect("LoRALinear", layer()(Tensor(x)).data, base + change, mistakes)


def test_merged_and_unmerged():
    made, x = layer(), np.array([[1.0, 1.0]], np.float32)
    before, out = made.base.weight.data.copy(), made(Tensor(x)).data
    made.merge()
    expect("the merged weight", made.base.weight.data, before + PRODUCT / 2,
           {"the scale alpha / rank is missing": before + PRODUCT, "nothing was added": before})
    expect("the output of a merged layer", made(Tensor(x)).data, out,
           {"the adapter acts twice, in the weight and beside it": out + x @ PRODUCT.T / 2})
    made.unmerge()
    expect("the weight, unmerged", made.base.weight.data, before, {"added again, not taken off": before + PRODUCT})


def model():
    return Sequential(Linear(4, 3), Linear(3, 2))


def test_all_else_is_frozen():
    made = model()
    adapted = add_lora(made, 1, 3.0, targets=("0",))
    assert adapted is made, "add_lora returns the model"
    learned = [name for name, p in made.named_parameters() if p.requires_grad]
    assert "1.weight" not in learned, "the layers that are not adapted must be frozen as well"
    assert learned == ["0.lora_A", "0.lora_B"], f"the adapters must be learned, and nothing else: got {learned}"
    assert made[0].scale == 3, f"alpha must be handed on: the scale is alpha / rank = 3, got {made[0].scale}"


def test_what_is_saved():
    made = add_lora(model(), 1, targets=("0",))
    state = lora_state_dict(made)
    assert list(state) == ["0.lora_A", "0.lora_B"], f"paths of the adapters' parameters alone, got {list(state)}"
    made[0].lora_B.data[...] = 1
    assert not state["0.lora_B"].any(), "a state dict holds copies: training must not change it"
    got = [id(parameter) for parameter in lora_parameters(made)]
    assert got == [id(made[0].lora_A), id(made[0].lora_B)], "lora_A and lora_B themselves, adapter by adapter"


def test_a_plain_model_again():
    made = add_lora(model(), 1, targets=("0", "1"))
    for parameter in lora_parameters(made):
        parameter.data[...] = 1
    x = Tensor([[1.0, 2.0, 3.0, 4.0]])
    before, unchanged = made(x).data, made[1].base(made[0].base(x)).data
    half = made[1].base(made[0](x)).data
    made[0].merge()
    with likely("an adapter that is merged already must not be merged again", RuntimeError):
        merge_lora(made)
    assert [type(part) for part in made] == [Linear, Linear], "the Linear layers must be back in their places"
    expect("the output of the merged model", made(x).data, before,
           {"nothing was merged": unchanged, "what was not merged before is not merged": half})
    assert all(p.requires_grad for p in made.parameters()), "all parameters must be thawed: the model is plain again"
