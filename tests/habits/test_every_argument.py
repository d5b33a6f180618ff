"""Every class of tinytorch.nn, each of its options in turn of a wrong kind: it is named, and nothing is ignored."""
import inspect

import numpy as np
import pytest
from said import said

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.vocabulary.options import KIND_OF

CLASSES = {name: value for name, value in vars(nn).items() if isinstance(value, type)}
WRONG = {"a text": "abc", "None": None, "an object": object(), "a dict": {"a": 1}, "a Tensor": Tensor([[1.0, 2.0]])}
CALLS = {  # a valid call of each class that has options
    "GELU": dict(approximate="tanh"), "LeakyReLU": dict(negative_slope=0.1, inplace=False), "LogSoftmax": dict(dim=1),
    "ReLU": dict(inplace=True), "SiLU": dict(inplace=True), "Softmax": dict(dim=1),
    "Softplus": dict(beta=1, threshold=20),
    "MultiHeadAttention": dict(embed_dim=4, num_heads=2, dropout=0.1, bias=True, num_kv_heads=1, qkv_bias=False),
    **dict.fromkeys(["AvgPool1d", "AvgPool2d"], dict(kernel_size=2, stride=1, padding=0, ceil_mode=False,
                                                     count_include_pad=True)),
    **dict.fromkeys(["MaxPool1d", "MaxPool2d"], dict(kernel_size=2, stride=1, padding=0, dilation=1, ceil_mode=False)),
    **dict.fromkeys(["BatchNorm1d", "BatchNorm2d"], dict(num_features=3, eps=1e-5, momentum=0.1, affine=True,
                                                         track_running_stats=True)),
    **dict.fromkeys(["Conv1d", "Conv2d"], dict(in_channels=2, out_channels=4, kernel_size=3, stride=1, padding="same",
                                               dilation=1, groups=1, bias=True)),
    "Embedding": dict(num_embeddings=4, embedding_dim=3, padding_idx=1),
    "Linear": dict(in_features=3, out_features=2, bias=True),
    **dict.fromkeys(["LearnedPositions", "SinusoidalPositions"], dict(max_len=5, dim=4)),
    "Rotary": dict(head_dim=4, max_len=5), "Dropout": dict(p=0.5, inplace=False),
    "Flatten": dict(start_dim=1, end_dim=-1), "BCELoss": dict(reduction="sum"), "L1Loss": dict(reduction="none"),
    "BCEWithLogitsLoss": dict(reduction="sum"), "MSELoss": dict(reduction="mean"),
    "CrossEntropyLoss": dict(ignore_index=0, reduction="mean", label_smoothing=0.1),
    "NLLLoss": dict(ignore_index=0, reduction="mean"), "ELU": dict(alpha=1, inplace=False), "GLU": dict(dim=-1),
    "SELU": dict(inplace=False), "AdaptiveAvgPool1d": dict(output_size=2),
    "AdaptiveAvgPool2d": dict(output_size=(2, None)),
    "CosineSimilarity": dict(dim=1, eps=1e-8), "GroupNorm": dict(num_groups=2, num_channels=4, eps=1e-5, affine=True),
    "Hardtanh": dict(min_val=-1.0, max_val=1, inplace=False), "HuberLoss": dict(reduction="mean", delta=1.0),
    "KLDivLoss": dict(reduction="batchmean", log_target=True), "Mish": dict(inplace=False),
    "MultiheadAttention": dict(embed_dim=4, num_heads=2, dropout=0.0, bias=True, batch_first=True),
    "ReLU6": dict(inplace=False), "SmoothL1Loss": dict(reduction="mean", beta=1.0),
    "Unflatten": dict(dim=1, unflattened_size=(1, 2)),
    "LayerNorm": dict(normalized_shape=3, eps=1e-5, elementwise_affine=True, bias=True),
    "RMSNorm": dict(normalized_shape=(3,), eps=1e-5, elementwise_affine=True),
}
OTHERS = {  # whose arguments are modules or a config
    "Module", "ModuleDict", "ModuleList", "ParameterList", "Sequential", "Parameter", "Identity", "GPT", "MLP",
    "GPTConfig", "LoRALinear", "Transformer", "TransformerBlock", "TransformerConfig",
}
CASES = [(name, option, kind) for name, options in CALLS.items() for option in options for kind in WRONG]


def test_no_class_and_no_option_is_forgotten():
    found = {name: set(inspect.signature(cls).parameters) & KIND_OF.keys() for name, cls in CLASSES.items()}
    assert {name for name, options in found.items() if options} - OTHERS == CALLS.keys()
    assert {name: set(options) for name, options in CALLS.items()} == {name: found[name] for name in CALLS}
    unknown = {name: set(inspect.signature(cls).parameters) - KIND_OF.keys() for name, cls in CLASSES.items()}
    elsewhere = set().union(*(unknown[name] for name in unknown.keys() - OTHERS))
    assert elsewhere == {"weight", "pos_weight", "rotary", "base"}


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_taken(name):
    assert isinstance(CLASSES[name](**CALLS[name]), nn.Module)


@pytest.mark.parametrize("name, option, kind", CASES)
def test_an_option_of_the_wrong_kind_is_named(name, option, kind):
    cls = CLASSES[name]
    options = CALLS[name] | {option: WRONG[kind]}
    if kind == "None" and (option == "momentum" or inspect.signature(cls).parameters[option].default is None):
        cls(**options)
        return
    takes_words = option in ("padding", "reduction", "approximate")
    with pytest.raises(ValueError if kind == "a text" and takes_words else TypeError) as raised:
        cls(**options)
    words = said(raised.value)
    assert name in words and option in words
    assert ("float32 (1, 2)" if kind == "a Tensor" else type(WRONG[kind]).__name__) in words


def test_numbers_of_numpy_are_numbers():
    assert nn.Linear(np.int64(3), np.int32(2)).weight.shape == (2, 3)
    assert nn.Dropout(np.float64(0.5)).p == 0.5 and nn.LayerNorm(np.int64(3)).eps == 1e-5


def test_a_class_for_insiders_takes_what_they_hand_it():
    "A student's own base class need not repeat the defaults of those above it."
    class _Norm(nn.Module):
        __module__ = "tinytorch.nn.normalization"
        def __init__(self, eps):
            self.eps = eps

    class Norm(_Norm):
        __module__ = "tinytorch.nn.normalization"
        def __init__(self, eps=None):
            super().__init__(eps)

    assert Norm().eps is None
    with pytest.raises(TypeError, match="Norm: eps: expected a number"):
        Norm("small")


def test_a_class_of_the_users_own_names_its_options_as_it_likes():
    class Block(nn.Module):
        def __init__(self, dim, eps): self.dim, self.eps = dim, eps

    assert Block("rows", None).dim == "rows" and tinytorch.is_tensor(nn.Identity(dim="rows")(Tensor([1.0])))


@pytest.mark.parametrize("name", [name for name, options in CALLS.items() if "inplace" in options])
def test_inplace_is_not_ignored(name, torch):
    numbers = [[-8.0, -0.5, 0.5, 8.0]]
    ours, theirs = Tensor(numbers), torch.tensor(numbers)
    options = {"p": 0.0} if name == "Dropout" else {}
    out = CLASSES[name](**options, inplace=True)(ours)
    expected = getattr(torch.nn, name)(**options, inplace=True)(theirs)
    assert out is ours
    np.testing.assert_allclose(ours.data, theirs.numpy(), atol=1e-6)
    assert expected is theirs
