"""Every function and class outside of tinytorch.nn that has options, each of these in turn of a wrong kind."""
import functools
import importlib
import inspect
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from said import said

from tinytorch import Tensor, checkpoint, generation, nn, optim, tokenizers, training
from tinytorch.data import DataLoader, Subset, TensorDataset, random_split
from tinytorch.datasets import RandomBatches, TokenDataset
from tinytorch.nn import init
from tinytorch.nn.utils import clip_grad_norm_, clip_grad_value_
from tinytorch.optim import lr_scheduler as schedules

WRONG = {"a text": "abc", "None": None, "an object": object(), "a dict": {"a": 1}, "a Tensor": Tensor([[1.0, 2.0]])}
DATA = TensorDataset(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))


def leaf():
    return Tensor(np.ones((3, 4), np.float32), requires_grad=True)


def optimizer():
    return optim.SGD([leaf()], lr=0.1, momentum=0.9)


def trained(make):
    "Return a function that makes two steps with the optimizer that `make(parameters, **options)` gives."
    def steps(**options):
        p = leaf()
        made = make([p], **options)
        for _ in range(2):
            p.grad = Tensor(np.ones((3, 4), np.float32))
            made.step()
    return steps


def scheduled(make):
    "Return a function that makes three steps with the schedule that `make(optimizer, **options)` gives."
    def steps(**options):
        made = make(**{"optimizer": optimizer()} | options)
        for _ in range(3):
            made.step(*[1.0] * isinstance(made, schedules.ReduceLROnPlateau))
    return steps


def squares(model, x, y):
    return (model(x) - y).square().mean()


def fit(model=None, loader=None, loss_fn=squares, optimizer=None, **options):
    "Train a line, unless one of the four is of a wrong kind."
    line = nn.Linear(1, 1)
    parts = line if model is None else model, DataLoader(DATA, 2) if loader is None else loader, loss_fn
    training.Trainer(*parts, optim.SGD(line.parameters(), lr=0.1) if optimizer is None else optimizer, **options).fit()


class Chain(nn.Module):
    vocab_size, context = 7, 8

    def __init__(self): self.table = nn.Embedding(7, 7)
    def forward(self, ids): return self.table(Tensor(ids) if isinstance(ids, np.ndarray) else ids)


GPT = nn.GPT(nn.GPTConfig(vocab_size=11, context=8, d_model=12, num_heads=3))


def with_a_file(name):
    "Return a function of tinytorch.checkpoint, which gets, unless another is given, a `path` with what it can load."
    def call(path, **parts):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save_weights(file := Path(folder, "file.safetensors"), GPT)
            if "optimizer" in parts:
                checkpoint.save_checkpoint(file, GPT, optim.SGD(GPT.parameters(), lr=0.1))
            return getattr(checkpoint, name)(file if path is None else path, **parts)
    return call


def of_files(vocab_path=None, merges_path=None, special_tokens=()):
    "Read a tokenizer of all bytes from two files, unless others are given."
    with tempfile.TemporaryDirectory() as folder:
        vocab, merges = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        bytes_of = {tokenizers.visible(bytes([i])): i for i in range(256)}
        vocab.write_text(json.dumps(bytes_of | {"ab": 256}))
        merges.write_text("a b\n")
        return tokenizers.BPETokenizer.from_files(vocab if vocab_path is None else vocab_path,
                                                  merges if merges_path is None else merges_path, special_tokens)


NUMBER, INIT = dict(lr=0.1, weight_decay=0.0), dict(tensor=leaf())
CALLS = {  # what is tried: a function, and valid options
    "SGD": (trained(optim.SGD), dict(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)),
    **{name: (trained(getattr(optim, name)), NUMBER | dict(betas=(0.9, 0.99), eps=1e-8)) for name in ("Adam", "AdamW")},
    "RMSprop": (trained(optim.RMSprop), NUMBER | dict(alpha=0.9, eps=1e-8, momentum=0.0, centered=False)),
    "Adagrad": (trained(optim.Adagrad), NUMBER | dict(lr_decay=0.0, eps=1e-8)),
    "LambdaLR": (scheduled(schedules.LambdaLR), dict(optimizer=optimizer(), lr_lambda=lambda step: 1.0)),
    "StepLR": (scheduled(schedules.StepLR), dict(step_size=2, gamma=0.1, last_epoch=-1)),
    "MultiStepLR": (scheduled(schedules.MultiStepLR), dict(milestones=[1, 2], gamma=0.1)),
    "ExponentialLR": (scheduled(schedules.ExponentialLR), dict(gamma=0.1)),
    "LinearLR": (scheduled(schedules.LinearLR), dict(start_factor=0.1, end_factor=1.0, total_iters=3)),
    "ConstantLR": (scheduled(schedules.ConstantLR), dict(factor=0.1, total_iters=3)),
    "CosineAnnealingLR": (scheduled(schedules.CosineAnnealingLR), dict(T_max=3, eta_min=0.0)),
    "OneCycleLR": (scheduled(schedules.OneCycleLR), dict(
        max_lr=0.1, total_steps=9, pct_start=0.3, anneal_strategy="cos", cycle_momentum=True, base_momentum=0.8,
        max_momentum=0.9, div_factor=25.0, final_div_factor=1e4)),
    "SequentialLR": (scheduled(schedules.SequentialLR), dict(
        schedulers=[schedules.ExponentialLR(optimizer(), 0.5)], milestones=[])),
    "ReduceLROnPlateau": (scheduled(schedules.ReduceLROnPlateau), dict(
        mode="min", factor=0.1, patience=0, threshold=0.1, threshold_mode="rel", cooldown=0, min_lr=0.0, eps=1e-8)),
    "clip_grad_norm_": (optim.clip_grad_norm_, dict(parameters=[leaf()], max_norm=1.0)),
    "utils.clip_grad_norm_": (clip_grad_norm_, dict(parameters=[leaf()], max_norm=1.0)),
    "utils.clip_grad_value_": (clip_grad_value_, dict(parameters=[leaf()], clip_value=1.0)),
    "uniform_": (init.uniform_, INIT | dict(a=0.0, b=1.0)),
    "normal_": (init.normal_, INIT | dict(mean=0.0, std=1.0)),
    "constant_": (init.constant_, INIT | dict(value=0.0)),
    "calculate_gain": (init.calculate_gain, dict(nonlinearity="leaky_relu", param=0.1)),
    **{name: (getattr(init, name), INIT | dict(gain=1.0)) for name in (
        "xavier_normal_", "xavier_uniform_", "orthogonal_")},
    **{name: (getattr(init, name), INIT | dict(a=0.0, mode="fan_in", nonlinearity="relu")) for name in (
        "kaiming_normal_", "kaiming_uniform_")},
    "trunc_normal_": (init.trunc_normal_, INIT | dict(mean=0.0, std=1.0, a=-2.0, b=2.0)),
    "DataLoader": (lambda **options: list(DataLoader(**options)), dict(
        dataset=DATA, batch_size=2, shuffle=True, drop_last=False, generator=1, collate_fn=list)),
    "Subset": (Subset, dict(dataset=DATA, indices=[1, -1])),
    "random_split": (random_split, dict(dataset=DATA, lengths=[2, 2], generator=1)),
    "TokenDataset": (functools.partial(TokenDataset, np.arange(9)), dict(context=4, stride=1)),
    "RandomBatches": (RandomBatches, dict(dataset=DATA, batch_size=2, batches=2, generator=1)),
    "generate": (generation.generate, dict(
        model=Chain(), prompt_ids=[1, 2], max_new_tokens=2, temperature=1.0, top_k=3, top_p=0.9, repetition_penalty=1.0,
        stop_tokens=(5,), suppress_tokens=(6,), generator=1, use_cache=True, on_token=lambda ids: None)),
    "distinct_n": (functools.partial(generation.distinct_n, [1, 2, 3]), dict(n=2)),
    "CharTokenizer": (tokenizers.CharTokenizer.train, dict(text="ab", special_tokens=["<x>"], unknown="<unk>")),
    "WordTokenizer": (tokenizers.WordTokenizer.train, dict(
        text="ab c", vocab_size=9, special_tokens=["<x>"], lowercase=True)),
    "BPETokenizer": (tokenizers.BPETokenizer.train, dict(text="ab ab", vocab_size=300, special_tokens=["<x>"])),
    "KVCache": (generation.KVCache, dict(model=GPT)),
    "encode": (tokenizers.CharTokenizer.train("abc").encode, dict(text="abc")),
    "decode": (tokenizers.CharTokenizer.train("abc").decode, dict(ids=[0, 1])),
    "decode_bytes": (tokenizers.BPETokenizer.train("ab", 256).decode_bytes, dict(ids=[97, 98])),
    "from_files": (of_files, dict(vocab_path=None, merges_path=None, special_tokens=["<x>"])),
    **{name: (with_a_file(name), dict(path=None, model=GPT)) for name in ("save_weights", "load_weights")},
    **{name: (with_a_file(name), dict(path=None, model=GPT, optimizer=optim.SGD(GPT.parameters(), lr=0.1)))
       for name in ("save_checkpoint", "load_checkpoint")},
    "linear_warmup": (optim.linear_warmup, dict(steps=3)),
    "warmup_cosine": (optim.warmup_cosine, dict(warmup=1, total=3, floor=0.1)),
    "decay_groups": (optim.decay_groups, dict(model=GPT, weight_decay=0.1)),
    "optim.LambdaLR": (scheduled(optim.LambdaLR), dict(optimizer=optimizer(), multiplier=lambda step: 1.0)),
    "GPTConfig": (nn.GPTConfig, dict(
        vocab_size=11, context=8, d_model=12, num_layers=2, num_heads=3, num_kv_heads=3, mlp_hidden=24, norm="rms_norm",
        activation="relu", pre_norm=False, dropout=0.1, bias=True, qkv_bias=True, mlp_bias=True, norm_eps=1e-5,
        positions="rotary", rotary_base=100.0, tied_head=False, head_bias=True)),
    "Trainer": (fit, dict(
        model=None, loader=None, loss_fn=squares, optimizer=None, steps=2,
        schedule=schedules.ExponentialLR(optimizer(), 1.0), accumulate=1, max_norm=1.0, evaluate=lambda: {"loss": 1.0},
        evaluate_every=2, better=min, patience=2, threads=1,
        callbacks=[], folder=None, save_every=2, show=False)),
    "Trainer, epochs": (fit, dict(epochs=1, show=False)),
    "Rotary": (nn.Rotary, dict(head_dim=4, max_len=5, base=100.0)),
    "LoRALinear": (nn.LoRALinear, dict(base=nn.Linear(2, 2), rank=1, alpha=1.0)),
}

TEXTS = ("path", "folder", "vocab_path", "merges_path", "text", "unknown")
SHOWN = ("base", "prompt_ids", "activation", "norm", "positions")  # the message says what it was, not of which kind
NEEDED = ("steps", "epochs", "total_steps")  # None is right where another one is given
TENSORS = ("tensor", "parameters", "dataset")
NONE = {  # options that may be None, and those that `fit` then makes
    "calculate_gain": ["param"], "DataLoader": ["generator", "collate_fn"], "random_split": ["generator"],
    "RandomBatches": ["generator"], "generate": ["top_k", "top_p", "generator", "on_token"],
    "CharTokenizer": ["unknown"], "WordTokenizer": ["vocab_size"],
    "Trainer": ["model", "loader", "optimizer", "schedule", "max_norm", "evaluate", "evaluate_every", "patience",
                "folder", "threads"], "LoRALinear": ["alpha"], "from_files": ["vocab_path", "merges_path"],
    **{name: ["path"] for name in ("save_weights", "load_weights", "save_checkpoint", "load_checkpoint")},
    "GPTConfig": ["num_kv_heads", "mlp_hidden", "qkv_bias", "mlp_bias", "norm_eps"],
}
CASES = [(name, option, kind) for name, (_, options) in CALLS.items() for option in options for kind in WRONG
         if not (option in TEXTS and kind == "a text" or option in TENSORS and kind == "a Tensor"
                 or kind == "None" and option in NONE.get(name, []))]
OUT_OF_RANGE = {
    "SGD": dict(lr=-1, momentum=-0.1, weight_decay=-1, dampening=float("nan")),
    "Adam": dict(lr=float("nan"), eps=-1e-8, betas=(0.9,)), "AdamW": dict(betas=(0.9, 1.0), weight_decay=float("inf")),
    "RMSprop": dict(alpha=-1, centered=-1, momentum=float("inf")), "Adagrad": dict(lr_decay=-1, eps=-1),
    "StepLR": dict(step_size=0), "CosineAnnealingLR": dict(T_max=0), "LinearLR": dict(total_iters=-1),
    "OneCycleLR": dict(total_steps=0, anneal_strategy="up", div_factor=0), "ReduceLROnPlateau": dict(
        mode="least", patience=-1, threshold_mode="much", cooldown=-1),
    "clip_grad_norm_": dict(max_norm=0), "utils.clip_grad_norm_": dict(max_norm=-1), "normal_": dict(std=-1),
    "trunc_normal_": dict(a=3.0), "kaiming_normal_": dict(mode="fan", nonlinearity="step"),
    "calculate_gain": dict(nonlinearity="step"), "DataLoader": dict(batch_size=0, generator=-1),
    "RandomBatches": dict(batch_size=0, batches=0), "TokenDataset": dict(context=0, stride=0),
    "random_split": dict(lengths=["a", "b"]), "BPETokenizer": dict(vocab_size=10),
    "generate": dict(temperature=-1, top_k=0, top_p=1.5, repetition_penalty=0, max_new_tokens=-1, stop_tokens=[0.5],
                     suppress_tokens=3), "distinct_n": dict(n=0),
    "Subset": dict(indices=[0.5]), "decode": dict(ids=[True]), "linear_warmup": dict(steps=-1),
    "warmup_cosine": dict(warmup=-1, total=0.5), "decay_groups": dict(weight_decay=-1),
    "GPTConfig": dict(pre_norm="no", d_model=0, vocab_size=0, context=0, num_layers=-1, mlp_hidden=0, rotary_base=0,
                      norm="batch_norm", activation={}, tied_head=2),
    "Trainer": dict(steps=-1, accumulate=0, evaluate_every=0, save_every=0, max_norm=0, callbacks=[3], patience=-1),
    "Trainer, epochs": dict(epochs=0), "Rotary": dict(base=0),
}
WALKED = """optim.optimizers optim.more optim.lr_scheduler nn.init data datasets generation tokenizers training
 checkpoint""".split()
NAMES = {  # how a name of the table is called in the package
    "encode": "Tokenizer", "Trainer, epochs": "Trainer"}
WITHOUT = set("""
 Optimizer LRScheduler Dataset TensorDataset Pass RandomExamples collate get_batch as_generator generator_at
 new_moments sgd_update adam_step adam_update total_norm zeros_ ones_ fans write_tokens probabilities draw
 keep_top_k keep_top_p penalize_repeats choose LayerCache next_logits split_special repaired plain_parts
 merge_pair gpt2_pattern find_merges merge_by_rank byte_characters visible invisible accumulate_gradients
 loss_and_count set_aside train_step evaluating TrainingLoop train CheckpointError write_whole digest differences
 save_arrays load_arrays read_tensor repeated_ngram_rate evaluate accuracy
""".split())  # base classes, steps of an algorithm, and what takes models, tensors, arrays and paths more than options


def test_no_function_is_forgotten():
    found = set()
    for name in WALKED:
        module = importlib.import_module(f"tinytorch.{name}")
        found |= {key for key, value in vars(module).items() if (inspect.isclass(value) or inspect.isfunction(value))
                  and value.__module__ == module.__name__ and not key.startswith("_")}
    assert found - WITHOUT - {NAMES.get(name, name) for name in CALLS} == set()


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_taken(name):
    call, options = CALLS[name]
    call(**options)
    for option in NONE.get(name, []):
        call(**options | {option: None})


def refusal(name, option, value):
    "Return the error in which the call ends, once it is known to say which argument it was."
    call, options = CALLS[name]
    with pytest.raises((TypeError, ValueError)) as raised:
        call(**options | {option: value})
    words = said(raised.value)
    assert option in words.replace("expected a Linear", "base"), words
    return words


@pytest.mark.parametrize("name, option, kind", CASES)
def test_an_argument_of_the_wrong_kind_is_named(name, option, kind):
    words = refusal(name, option, WRONG[kind])
    shown = "float32" if kind == "a Tensor" else type(WRONG[kind]).__name__
    assert shown in words or option in SHOWN or kind == "None" and option in NEEDED, words


@pytest.mark.parametrize("name, option", [(name, option) for name, values in OUT_OF_RANGE.items() for option in values])
def test_one_out_of_range_is_named(name, option):
    refusal(name, option, OUT_OF_RANGE[name][option])
