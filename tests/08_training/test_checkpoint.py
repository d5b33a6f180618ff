"""Checkpoint files: what goes in comes out, PyTorch reads it, and whatever is wrong with one is refused as a whole."""
import builtins
import errno
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from platforms import compiled_package

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_weights,
    save_arrays,
    save_checkpoint,
    save_weights,
    write_whole,
)
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, linear_warmup
from tinytorch.training import Trainer

stored = compiled_package("safetensors.numpy")
OPTIMIZERS = [lambda p: SGD(p, 0.1), lambda p: SGD(p, 0.1, momentum=0.9), lambda p: Adam(p), lambda p: AdamW(p)]


class Tied(nn.Module):
    "Two layers, one with a shared weight; a buffer of integers, float64 beside float32."
    def __init__(self, width=4):
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(np.ones((), np.float64))
        self.register_buffer("seen", Tensor([0, 0]))

    def forward(self, x):
        return self.second(self.first(x).tanh()) * self.scale


def step(model, optimizer, batch):
    optimizer.zero_grad()
    (model(batch) - 1).square().mean().backward()
    optimizer.step()


def everything(seed=0, make_optimizer=AdamW, width=4):
    "Model, optimizer, schedule and loader after three steps."
    tinytorch.manual_seed(seed)
    model = Tied(width)
    optimizer = make_optimizer(model.parameters())
    schedule = LambdaLR(optimizer, linear_warmup(10))
    loader = DataLoader(TensorDataset(np.eye(width, dtype=np.float32)), 1, shuffle=True, generator=seed)
    batches = iter(loader)
    for _ in range(3):
        step(model, optimizer, next(batches)[0])
        schedule.step()
    return model, optimizer, schedule, loader, batches


def fingerprint(model, optimizer, schedule, loader):
    "All that loading could change, as one text."
    return json.dumps([{k: v.tolist() for k, v in model.state_dict().items()}, optimizer.state_dict(),
                       schedule.state_dict(), loader.saved, loader.generator.bit_generator.state,
                       tinytorch.default_generator().bit_generator.state], default=lambda a: a.tolist())


# ---- there and back

@pytest.mark.parametrize("make_optimizer", OPTIMIZERS)
def test_everything_comes_back_and_goes_on_the_same(make_optimizer, tmp_path):
    model, optimizer, schedule, loader, batches = everything(0, make_optimizer)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, model, optimizer, {"lr": 0.1, "name": "x"}, schedule=schedule, loader=batches)
    other = everything(1, make_optimizer)
    config = load_checkpoint(path, *other[:2], schedule=other[2], loader=other[3])
    assert config == {"lr": 0.1, "name": "x"}

    def go_on(model, optimizer, schedule, batches):
        for batch, in batches:  # the rest of the epoch
            step(model, optimizer, batch * (1 + tinytorch.rand(4)))
            schedule.step()
        return fingerprint(model, optimizer, schedule, loader)

    state = tinytorch.default_generator().bit_generator.state
    after = go_on(model, optimizer, schedule, batches)
    tinytorch.default_generator().bit_generator.state = state
    assert go_on(*other[:3], iter(other[3])) == after
    assert schedule.steps == 4


def test_the_file_is_plain_safetensors_and_nothing_else_is_left(tmp_path):
    model, optimizer, schedule, loader, batches = everything()
    save_checkpoint(tmp_path / "c.safetensors", model, optimizer, schedule=schedule, loader=batches)
    assert os.listdir(tmp_path) == ["c.safetensors"]
    arrays = stored.load_file(tmp_path / "c.safetensors")
    assert {"model.first.weight", "model.second.weight", "model.seen", "optimizer.0.exp_avg"} <= set(arrays)
    np.testing.assert_array_equal(arrays["model.first.weight"], model.first.weight.data)
    assert arrays["model.scale"].dtype == np.float64 and arrays["model.seen"].dtype == np.int64


def test_a_second_save_replaces_the_first(tmp_path):
    model, optimizer, *_ = everything()
    for value in (1.0, 2.0):
        model.scale.data[...] = value
        save_checkpoint(tmp_path / "c", model, optimizer)
    model.scale.data[...] = 3.0
    load_checkpoint(tmp_path / "c", model, optimizer)
    assert model.scale.item() == 2.0


def test_the_configuration_may_be_a_dataclass(tmp_path):
    @dataclass
    class Config:
        width: int = 4
        dropout: float = 0.1

    model, optimizer, *_ = everything()
    for config, expected in [(Config(5), {"width": 5, "dropout": 0.1}), ({"a": [1, None]}, {"a": [1, None]}),
                             ({"lr": np.float32(0.5)}, {"lr": 0.5}), (None, None)]:
        save_checkpoint(tmp_path / "c", model, optimizer, config)
        assert load_checkpoint(tmp_path / "c", model, optimizer) == expected


@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_a_loader_may_have_any_kind_of_generator(bit_generator, tmp_path):
    def make():
        return DataLoader(list(range(20)), 3, shuffle=True, generator=np.random.Generator(bit_generator(5)))
    model, optimizer, *_ = everything()
    loader = make()
    batches = iter(loader)
    next(batches)
    save_checkpoint(tmp_path / "c", model, optimizer, loader=batches)
    rest = [x.tolist() for x, in batches] + [x.tolist() for x, in loader]
    again = make()
    load_checkpoint(tmp_path / "c", model, optimizer, loader=again)
    assert [x.tolist() for _ in range(2) for x, in again] == rest


class Signs(AdamW):
    "A subclass of a subclass, with a moment of its own."
    def moment_names(self, group):
        return [*super().moment_names(group), "sign"]

    def update(self, params, grads, moments, steps, **settings):
        super().update(params, grads, moments[:2], steps, **settings)
        for x, sign in zip(params, moments[2]):
            sign[...] = np.sign(x)


class Forgetful(SGD):
    "It keeps what it does not tell of."
    def step(self):
        super().step()
        for p in self.numbers():
            self.state[p]["mean"] = np.array(p.data.mean())


def test_optimizers_of_ones_own_are_saved_whole_or_not_at_all(tmp_path):
    model, optimizer, *_ = everything(0, Signs)
    save_checkpoint(tmp_path / "c", model, optimizer)
    again, other, *_ = everything(1, Signs)
    load_checkpoint(tmp_path / "c", again, other)
    ours, theirs = (list(optimizer.state_dict()["state"].values()) for optimizer in (optimizer, other))
    for before, after in zip(ours, theirs):
        np.testing.assert_array_equal(before["sign"], after["sign"])
    before = (tmp_path / "c").read_bytes()
    model, optimizer, *_ = everything(0, lambda p: Forgetful(p, 0.1))
    with pytest.raises(CheckpointError, match="Forgetful.*mean"):
        save_checkpoint(tmp_path / "c", model, optimizer)
    assert (tmp_path / "c").read_bytes() == before


# ---- weights, and PyTorch

def torch_twin(torch):
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.GELU(), torch.nn.LayerNorm(5), torch.nn.Linear(5, 2))


def ours():
    return nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.LayerNorm(5), nn.Linear(5, 2))


def test_weights_go_to_pytorch_and_back(torch, tmp_path):
    from safetensors.torch import load_file, save_file
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    model, twin = ours(), torch_twin(torch)
    save_weights(tmp_path / "ours", model)
    twin.load_state_dict(load_file(tmp_path / "ours"), strict=True)
    np.testing.assert_allclose(twin(torch.from_numpy(x)).detach().numpy(), model(Tensor(x)).data, atol=1e-5)

    twin = torch_twin(torch)
    save_file(twin.state_dict(), tmp_path / "theirs")
    model = ours()
    load_weights(tmp_path / "theirs", model)
    for name, tensor in twin.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], tensor.numpy())
    np.testing.assert_allclose(twin(torch.from_numpy(x)).detach().numpy(), model(Tensor(x)).data, atol=1e-5)


def test_shared_weights_of_pytorch_have_one_name(torch, tmp_path):
    from safetensors.torch import save_model

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight
            self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
            self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))

    twin, model = Twin(), Tied()
    save_model(twin, tmp_path / "w")
    load_weights(tmp_path / "w", model)
    assert model.second.weight is model.first.weight
    np.testing.assert_array_equal(model.second.weight.data, twin.first.weight.detach().numpy())


def test_one_name_of_a_shared_weight_is_enough_and_none_is_too_few(tmp_path):
    model, twin = Tied(), Tied()
    arrays = model.state_dict()
    for name in ("second.weight", "first.weight"):
        fewer = {other: array for other, array in arrays.items() if other != name}
        stored.save_file(fewer, tmp_path / "w")
        load_weights(tmp_path / "w", twin)
        np.testing.assert_array_equal(twin.first.weight.data, model.first.weight.data)
        twin.first.weight.data[...] = 0
    del fewer["second.weight"]
    stored.save_file(fewer, tmp_path / "w")
    with pytest.raises(CheckpointError, match="weight"):
        load_weights(tmp_path / "w", twin)
    assert not twin.first.weight.data.any()


@pytest.mark.parametrize("theirs", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("mine", ["float", "double"])
def test_weights_of_another_precision_are_those_of_pytorch(theirs, mine, torch, tmp_path):
    from safetensors.torch import save_file
    twin = torch_twin(torch).to(getattr(torch, theirs))
    save_file(twin.state_dict(), tmp_path / "w", {"format": "pt"})
    model = getattr(ours(), mine)()
    load_weights(tmp_path / "w", model)
    for name, tensor in getattr(twin, mine)().state_dict().items():
        assert model.state_dict()[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(model.state_dict()[name], tensor.numpy())


def test_what_is_no_precision_of_ours_is_refused_by_name(torch, tmp_path):
    from safetensors.torch import save_file
    for change, words in [(lambda t: t.to(torch.float8_e4m3fn), "F8_E4M3"), (lambda t: t.to(torch.int32), "I32")]:
        state = ours().state_dict() | {"0.bias": np.zeros(5, np.float32)}
        save_file({name: torch.from_numpy(a) for name, a in state.items()} | {"0.bias": change(torch.ones(5))},
                  tmp_path / "w")
        with pytest.raises(CheckpointError, match=rf"0.bias(.|\n)*{words}"):
            load_weights(tmp_path / "w", ours())


def test_numbers_too_large_for_the_model_are_refused(tmp_path):
    model = nn.Linear(1, 1)
    before = model.weight.item()
    stored.save_file({"weight": np.array([[2.0]]), "bias": np.array([1e300])}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="overflow"):
        load_weights(tmp_path / "w", model)
    assert model.weight.item() == before


@pytest.mark.parametrize("metadata", [{"format": "pt", "digest": "1"}, {"format": "pt", "state": "x", "sha256": "y"},
                                      {"sha256": "0" * 64}, None])
def test_metadata_of_others_is_theirs(metadata, tmp_path):
    model, twin = nn.Linear(2, 2), nn.Linear(2, 2)
    stored.save_file(model.state_dict(), tmp_path / "w", metadata)
    load_weights(tmp_path / "w", twin)
    np.testing.assert_array_equal(twin.weight.data, model.weight.data)


def test_weights_are_no_checkpoint_and_the_other_way_round(tmp_path):
    model, optimizer, *_ = everything()
    save_weights(tmp_path / "w", model)
    save_checkpoint(tmp_path / "c", model, optimizer)
    with pytest.raises(CheckpointError, match="first.weight"):
        load_checkpoint(tmp_path / "w", model, optimizer)
    with pytest.raises(CheckpointError, match="first.weight"):
        load_weights(tmp_path / "c", model)


def test_without_safetensors_it_says_what_to_install_or_needs_none(tmp_path):
    code = ("import sys; sys.modules['safetensors'] = None\nimport tinytorch\nfrom tinytorch import nn\n"
            "from tinytorch.checkpoint import save_weights\nfrom tinytorch.training import Trainer\n"
            "save_weights(sys.argv[1], nn.Linear(2, 2))")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "w"], capture_output=True, text=True)
    if done.returncode == 0:  # the format is written by hand
        assert set(stored.load_file(tmp_path / "w")) == {"weight", "bias"}
        return
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError") and "pip install safetensors" in last


# ---- what is wrong with a file

@pytest.fixture(scope="module")
def good(tmp_path_factory):
    "The bytes of a checkpoint of `everything()`."
    model, optimizer, schedule, loader, batches = everything()
    path = tmp_path_factory.mktemp("good") / "c"
    save_checkpoint(path, model, optimizer, {"lr": 0.1}, schedule=schedule, loader=batches)
    return path.read_bytes()


def opened(data):
    "Arrays and text of a file."
    length = int.from_bytes(data[:8], "little")
    return stored.load(data), json.loads(data[8:8 + length])["__metadata__"]["state"]


def with_header(data, change, size=None):
    "`data` with its header changed by `change(text)`, and the length in front set right (or to `size`)."
    length = int.from_bytes(data[:8], "little")
    header = change(data[8:8 + length])
    return (size or len(header)).to_bytes(8, "little") + header + data[8 + length:]


def forged(data, change_arrays=None, change_state=None):
    "A file whose digest is right, made by somebody who knows how: only what it says is wrong."
    arrays, text = opened(data)
    state = json.loads(text)
    if change_arrays:
        change_arrays(arrays)
    if change_state:
        change_state(state)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forged"
        save_arrays(path, arrays, json.dumps(state))
        return path.read_bytes()


def mutations():
    "(name, function of the good bytes and a random.Random): 200 files."
    def truncated(data, r):
        return data[:r.randrange(len(data))]

    def flipped(data, r):
        changed = bytearray(data)
        changed[r.randrange(len(data))] ^= 1 << r.randrange(8)
        return bytes(changed)

    def flipped_in_header(data, r):
        changed = bytearray(data)
        changed[r.randrange(8 + int.from_bytes(data[:8], "little"))] ^= 1 << r.randrange(8)
        return bytes(changed)

    def overwritten(data, r):
        start, n = r.randrange(len(data)), r.randrange(1, 64)
        changed = data[:start] + r.randbytes(n) + data[start + n:]
        return changed[:len(data)] if changed[:len(data)] != data else truncated(data, r)

    def longer(data, r):
        return data + r.randbytes(r.randrange(1, 5000))

    def noise(data, r):
        return r.randbytes(r.randrange(3000))

    def array_change(change):
        def forge(data, r):
            def change_one(arrays):
                change(arrays, r.choice(sorted(arrays)), r)
            return forged(data, change_one)
        forge.__name__ = change.__name__
        return forge

    def another_dtype(arrays, name, r):
        arrays[name] = arrays[name].astype(r.choice([d for d in (np.float16, np.float32, np.float64, np.int64, np.int32)
                                                     if d != arrays[name].dtype]))

    def another_shape(arrays, name, r):
        arrays[name] = np.concatenate([arrays[name].ravel(), arrays[name].ravel()[:1]]) if r.random() < 0.5 else \
            arrays[name][None]

    def missing(arrays, name, r):
        del arrays[name]

    def renamed(arrays, name, r):
        arrays[name + r.choice(["x", ".weight", " ", "\0", "\u202e"])] = arrays.pop(name)

    def extra(arrays, name, r):
        arrays[r.choice(["model.other", "optimizer.9.exp_avg", "digest", "x" * 5000, ""])] = np.zeros(3, np.float32)

    def state_change(*values):
        "For each of these: some entry of the small state, anywhere in it, is replaced."
        def forge(data, r):
            def change(state):
                places = []

                def walk(node):
                    for key in list(node if isinstance(node, dict) else range(len(node))):
                        places.append((node, key))
                        if isinstance(node[key], (dict, list)):
                            walk(node[key])
                for name in ("optimizer", "generator", "parts"):
                    walk(state[name])
                for name in r.sample(["optimizer", "generator", "parts"], 3):
                    if r.random() < 0.3:
                        state[name] = r.choice(values)
                        return
                # only what has to be of a kind: a learning rate that is merely another number is nobody's mistake
                strict = [(node, key) for node, key in places if isinstance(node[key], (dict, list)) or
                          key in ("class", "bit_generator", "steps", "dealt", "batch_size", "step", "examples")]
                node, key = r.choice(strict)
                node[key] = r.choice(values)
            return forged(data, None, change)
        forge.__name__ = "another_state"
        return forge

    def huge_length(data, r):
        length = r.choice([2 ** 60, 2 ** 63, 2 ** 64 - 1, 2 ** 31, len(data), 100_000_001])
        return length.to_bytes(8, "little") + data[8:]

    def huge_header(data, r):
        return with_header(data, lambda header: header + b"{" * r.choice([17_000_000, 20_000_000]))

    def deep_header(data, r):
        return with_header(data, lambda header: r.choice([b"[", b'{"a":']) * r.choice([10_000, 1_000_000]))

    def odd_header(data, r):
        return with_header(data, lambda header: r.choice([
            b"", b"null", b"[]", b'"x"', b"{}", b"{" + b"9" * 100_000, b'{"a": ' + b"9" * 10_000 + b"}", b"\xff\xfe{}",
            b'{"__metadata__": []}', b'{"__metadata__": {"state": {}, "digest": []}}', b'{"a": {"dtype": "F32"}}',
            header.replace(b"[4,4]", b"[1e400,4]"), header.replace(b"[4,4]", b"[-4,-4]"),
            header.replace(b'"F32"', b'"F4096"'), header.replace(b"[4,4]", b"[4611686018427387904,4,4]"),
            header.replace(b'"data_offsets":[0,', b'"data_offsets":[8,'), header.replace(b"}}", b"}},"),
            header.replace(b'"digest"', b'"dig"')]))

    plan = [(truncated, 30), (flipped, 40), (flipped_in_header, 30), (overwritten, 15), (longer, 5), (noise, 5),
            (array_change(another_dtype), 10), (array_change(another_shape), 10), (array_change(missing), 8),
            (array_change(renamed), 7), (array_change(extra), 5),
            (state_change(None, "x", [], {}, -1, [[]], 1e300), 15),
            (huge_length, 6), (huge_header, 2), (deep_header, 3), (odd_header, 9)]
    return [(f"{make.__name__}-{i}", make) for make, n in plan for i in range(n)]


MUTATIONS = mutations()


def test_there_are_200_mutations():
    assert len(MUTATIONS) == 200


@pytest.mark.parametrize("number", range(200), ids=[name for name, _ in MUTATIONS])
def test_a_mutated_file_is_refused_and_nothing_changes(number, good, tmp_path):
    data = MUTATIONS[number][1](good, random.Random(number))
    assert data != good
    path = tmp_path / "c"
    path.write_bytes(data)
    model, optimizer, schedule, loader, _ = everything(seed=1)
    before = fingerprint(model, optimizer, schedule, loader)
    tracemalloc.start()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, model, optimizer, schedule=schedule, loader=loader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fingerprint(model, optimizer, schedule, loader) == before
    assert peak < 10_000_000 + 20 * min(len(data), 4_000_000), f"{peak:,} bytes for a file of {len(data):,}"
    assert str(caught.value).startswith(str(path)) and len(str(caught.value)) < 3000


def test_every_single_bit_of_a_small_file_is_watched_over(tmp_path):
    model = nn.Linear(1, 1)
    save_weights(tmp_path / "w", model)
    data = (tmp_path / "w").read_bytes()
    load_weights(tmp_path / "w", model)
    before = model.state_dict()
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        (tmp_path / "w").write_bytes(changed)
        with pytest.raises(CheckpointError):
            load_weights(tmp_path / "w", model)
    assert all(np.array_equal(a, before[name]) for name, a in model.state_dict().items())


@pytest.mark.parametrize("change, message", [
    (lambda: dict(width=5), r"first.weight(.|\n)*\[4, 4\](.|\n)*\[5, 5\]"),
    (lambda: dict(make_optimizer=Adam), r"AdamW.*\bAdam\b"),
    (lambda: dict(make_optimizer=lambda p: SGD(p, 0.1)), "AdamW.*SGD"),
])
def test_another_model_or_optimizer_is_named(change, message, good, tmp_path):
    (tmp_path / "c").write_bytes(good)
    model, optimizer, schedule, loader, _ = everything(1, **change())
    before = fingerprint(model, optimizer, schedule, loader)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "c", model, optimizer, schedule=schedule, loader=loader)
    assert fingerprint(model, optimizer, schedule, loader) == before


def test_parts_must_be_those_that_were_saved(good, tmp_path):
    (tmp_path / "c").write_bytes(good)
    model, optimizer, schedule, loader, _ = everything()
    with pytest.raises(CheckpointError, match="loader, schedule.*schedule"):
        load_checkpoint(tmp_path / "c", model, optimizer, schedule=schedule)
    with pytest.raises(CheckpointError, match=str(tmp_path / "d")):
        load_checkpoint(tmp_path / "d", model, optimizer)


def test_a_part_that_fails_late_undoes_the_earlier_ones(good, tmp_path):
    class Stubborn:
        def load_state_dict(self, saved):
            raise KeyError("never")

    def add_part(state):
        state["parts"]["z"] = {}

    (tmp_path / "c").write_bytes(forged(good, None, add_part))
    model, optimizer, schedule, loader, _ = everything(seed=1)
    before = fingerprint(model, optimizer, schedule, loader)
    with pytest.raises(CheckpointError, match="never"):
        load_checkpoint(tmp_path / "c", model, optimizer, schedule=schedule, loader=loader, z=Stubborn())
    assert fingerprint(model, optimizer, schedule, loader) == before


def test_what_a_file_says_cannot_control_a_terminal(good, tmp_path):
    def rename(state):
        state["optimizer"]["class"] = "\x1b[31mAdam\x07\u202e"

    (tmp_path / "c").write_bytes(forged(good, None, rename))
    model, optimizer, schedule, loader, _ = everything()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "c", model, optimizer, schedule=schedule, loader=loader)
    assert r"\x1b[31mAdam\x07\u202e" in str(caught.value) and str(caught.value).replace("\n", "").isprintable()


# ---- when writing fails

class FullDisk:
    "A file on which only `room` bytes fit."
    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.file.write(data[:self.room])
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name):
        return getattr(self.file, name)


def full_after(monkeypatch, room):
    "From now on files that are written as a whole, by open or by Path.open, find no more than this room."
    usual = open

    def open_with_little_room(path, mode="r", *args, **options):
        file = usual(path, mode, *args, **options)
        return FullDisk(file, room) if mode == "wb" else file
    monkeypatch.setattr(builtins, "open", open_with_little_room)
    monkeypatch.setattr(io, "open", open_with_little_room)


@pytest.mark.parametrize("room", [0, 100, 1500])
def test_a_full_disk_leaves_the_old_file(room, monkeypatch, tmp_path):
    model, optimizer, *_ = everything()
    save_checkpoint(tmp_path / "c", model, optimizer)
    before = (tmp_path / "c").read_bytes()
    full_after(monkeypatch, room)
    with pytest.raises(CheckpointError, match=os.strerror(errno.ENOSPC)):
        save_checkpoint(tmp_path / "c", model, optimizer)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["c"] and (tmp_path / "c").read_bytes() == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_so_does_an_error_at_the_very_end(call, monkeypatch, tmp_path):
    write_whole(tmp_path / "c", b"old")

    def fails(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(os, call, fails)
    with pytest.raises(CheckpointError, match=os.strerror(errno.EIO)):
        write_whole(tmp_path / "c", b"new")
    assert os.listdir(tmp_path) == ["c"] and (tmp_path / "c").read_bytes() == b"old"


def small_trainer(folder, steps=30):
    tinytorch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.2))
    loader = DataLoader(TensorDataset(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0])), 2, shuffle=True)
    return Trainer(model, loader, lambda model, x, y: F.cross_entropy(model(x), y), AdamW(model.parameters(), 0.01),
                   steps=steps, folder=folder, save_every=5, show=False)


def test_a_path_that_cannot_be_cleaned_up_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path / "file" / "c", tmp_path / ("long" * 100)):
        with pytest.raises(CheckpointError, match="file|long"):
            write_whole(path, b"new")


def test_training_on_a_disk_that_fills_up_stops_and_goes_on_later(monkeypatch, tmp_path):
    straight = small_trainer(tmp_path / "a")
    straight.fit()
    trainer = small_trainer(tmp_path / "b")
    trainer.callbacks = [lambda record: record["step"] == 15 and full_after(monkeypatch, 700)]
    with pytest.raises(CheckpointError, match=os.strerror(errno.ENOSPC)):
        trainer.fit()
    monkeypatch.undo()
    again = small_trainer(tmp_path / "b").resume()
    assert again.step == 10
    again.fit()
    for ours, theirs in zip(again.model.parameters(), straight.model.parameters()):
        np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk without room")
def test_metrics_that_find_no_room_say_so(tmp_path):
    def fill_up(record):
        if record["step"] == 8:
            for link in Path("/proc/self/fd").iterdir():
                if link.is_symlink() and os.path.realpath(link) == os.path.realpath(tmp_path / "metrics.jsonl"):
                    os.dup2(full.fileno(), int(link.name))

    trainer = small_trainer(tmp_path)
    trainer.callbacks = [fill_up]
    with open("/dev/full", "w") as full, pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}.*metrics.jsonl"):
        trainer.fit()
    assert small_trainer(tmp_path).resume().step == 5
