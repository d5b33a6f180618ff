"""Checkpoints: all that training needs to continue, in one safetensors file that is whole or not there.

The format is read and written here, without a library: eight bytes that count the header's, the header (JSON: where
which array lies), the bytes of all arrays.
"""
__all__ = ["CheckpointError", "write_whole", "digest", "differences", "save_arrays", "load_arrays", "save_weights",
           "load_weights", "save_checkpoint", "load_checkpoint"]

import hashlib
import json
import math
import os
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np

from tinytorch.data import generator_at
from tinytorch.state import default_generator

CODES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
         "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1", "BF16": "<u2"}
FLOATS = {"F64", "F32", "F16", "BF16"}
LONGEST_HEADER = 1 << 24


class CheckpointError(Exception):
    "Raised for a file that was not written (and is as it was) or not loaded (and changed nothing); its path is first."


def write_whole(path, data):
    path = Path(path)
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        try:
            aside.unlink()
        except OSError:
            pass
        raise CheckpointError(f"{path}: not written, nothing has changed: {error.strerror or error}") from error


def digest(arrays, text):
    sha = hashlib.sha256(repr(text).encode("utf-8", "surrogatepass"))
    for name, array in sorted(arrays.items()):
        sha.update(repr((name, array.dtype.str, array.shape)).encode("utf-8", "surrogatepass"))
        sha.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return sha.hexdigest()


def differences(found, expected):
    texts = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            texts.append(f"{name:.200} is missing")
        elif name not in expected:
            texts.append(f"{name:.200} is unexpected")
        elif found[name] != expected[name]:
            texts.append(f"{name:.200} is {str(found[name]):.100}, expected {str(expected[name]):.100}")
    return texts


def _kind(array):
    dtype = array.dtype.newbyteorder("<").str
    return next((code for code, known in CODES.items() if known == dtype), str(array.dtype)), list(array.shape)


def save_arrays(path, arrays, text):
    header, parts, end = {"__metadata__": {"state": text, "digest": digest(arrays, text)}}, [], 0
    for name, array in arrays.items():
        code, shape = _kind(array)
        if code not in CODES:
            raise CheckpointError(f"{path}: not written: {name} has the dtype {array.dtype}")
        parts.append(array.astype(CODES[code], copy=False).tobytes())
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_whole(path, b"".join([len(head).to_bytes(8, "little"), head, *parts]))


def printable(text):
    return "".join(c if c.isprintable() or c == "\n" else repr(c).strip("'") for c in text)


def _require(fact, words):
    if not fact:
        raise ValueError(words)


def _is_size(number):
    return type(number) is int and number >= 0


def _read(path):
    "({name: (code, shape)}, {name: where it begins}, metadata, the arrays' bytes). Raises: ValueError."
    data = memoryview(Path(path).read_bytes())
    length = int.from_bytes(data[:8], "little")
    _require(8 <= len(data) and length <= min(len(data) - 8, LONGEST_HEADER), "the header is not whole")
    head, body = json.loads(bytes(data[8:8 + length])), data[8 + length:]
    _require(isinstance(head, dict), "the header is no dictionary")
    metadata = head.pop("__metadata__", None)
    _require(metadata is None or isinstance(metadata, dict), "the metadata are no dictionary")
    kinds, begins, pieces = {}, {}, []
    for name, entry in head.items():
        _require(isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}, "an entry is broken")
        shape, offsets = entry["shape"], entry["data_offsets"]
        _require(isinstance(shape, list) and all(map(_is_size, shape)), "a shape is broken")
        _require(isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_size, offsets)), "a place is broken")
        pieces.append(offsets)
        kinds[name], begins[name] = (str(entry["dtype"])[:20], shape), offsets[0]
        if kinds[name][0] in CODES:
            size = math.prod(shape) * np.dtype(CODES[kinds[name][0]]).itemsize
            _require(offsets[1] - offsets[0] == size, "an array has not the size that it should have")
    end = 0
    for first, last in sorted(pieces):
        _require(first == end <= last, "arrays overlap, or leave holes")
        end = last
    _require(end == len(body), "the file is cut off, or too long")
    return kinds, begins, metadata, body


def load_arrays(path, expected_of, signed=True):
    try:
        kinds, begins, metadata, body = _read(path)
        metadata = None if (metadata or {}).get("format") == "pt" else metadata
        of_ours = {"state", "digest"} & set(metadata or ())
        _require(of_ours == {"state", "digest"} or not (signed or of_ours), "it has no digest")
        expected = {name: _kind(array) for name, array in expected_of(list(kinds)).items()}
        wrong = differences(*[kinds, expected] if signed else [
            {name: ("float" if code in FLOATS else code, shape) for name, (code, shape) in some.items()}
            for some in (kinds, expected)])
        _require(not wrong, "\n  ".join([f"{len(wrong)} differences", *wrong[:8]]))
        arrays = {}
        for name, (code, shape) in kinds.items():
            flat = np.frombuffer(body, CODES[code], math.prod(shape), begins[name])
            if code == "BF16":
                flat = (flat.astype("<u4") << 16).view("<f4")
            arrays[name] = flat.reshape(shape).astype(flat.dtype.newbyteorder("="))
        text = metadata["state"] if of_ours else None
        _require(not of_ours or (len(metadata) == 2 and isinstance(text, str)
                                 and digest(arrays, text) == metadata["digest"]), "its digest is another")
    except OSError as error:
        raise CheckpointError(f"{path}: not loaded: {error.strerror or error}") from error
    except (ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{path}: not loaded: {printable(str(error)[:2000])}") from None
    return arrays, text


def save_weights(path, model):
    save_arrays(path, model.state_dict(), "")


def load_weights(path, model):
    def expected_of(names):
        paths, expected = {}, {}
        for name, tensor in model.saved_tensors().items():
            paths.setdefault(id(tensor), []).append((name, tensor.data))
        for known in paths.values():
            expected |= dict([one for one in known if one[0] in names] or known[:1])
        return expected

    arrays, _ = load_arrays(path, expected_of, signed=False)
    try:
        with np.errstate(over="raise"):
            arrays = {name: array.astype(model.saved_tensors()[name].dtype) for name, array in arrays.items()}
    except FloatingPointError as error:
        raise CheckpointError(f"{path}: not loaded: {error}") from None
    model.load_state_dict(arrays, strict=False)


def _plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def save_checkpoint(path, model, optimizer, config=None, **parts):
    saved = optimizer.state_dict()
    for group in optimizer.param_groups:
        for p in group["params"]:
            own = {name: value for name, value in optimizer.state.get(p, {}).items() if name != "step"}
            for name, value in own.items():
                if np.shape(value) != p.shape:
                    raise CheckpointError(f"{path}: not written: {optimizer.name} could not load ['{name}'] again")
    moments = {(i, name): value for i, entry in saved["state"].items() for name, value in entry.items()}
    arrays = {f"model.{name}": array for name, array in model.state_dict().items()}
    arrays |= {f"optimizer.{i}.{name}": x for (i, name), x in moments.items() if isinstance(x, np.ndarray)}
    saved["class"], saved["state"] = type(optimizer).__name__, {}
    for (i, name), value in moments.items():
        if not isinstance(value, np.ndarray):
            saved["state"].setdefault(i, {})[name] = value
    text = {"config": asdict(config) if is_dataclass(config) else config, "optimizer": saved,
            "generator": default_generator().bit_generator.state,
            "parts": {name: part.state_dict() for name, part in parts.items()}}
    save_arrays(path, arrays, json.dumps(text, default=_plain))


def _optimizer_state(state, arrays, optimizer):
    "What optimizer.load_state_dict takes. Raises: ValueError where arrays and text do not belong together."
    _require(isinstance(state, dict) and state.get("class") == type(optimizer).__name__,
             f"it is from the optimizer {str(dict(state).get('class')):.50}, not {type(optimizer).__name__}")
    entries = {int(i): dict(entry) for i, entry in state["state"].items()}
    _require(all(type(entry["step"]) is int and entry["step"] >= 0 for entry in entries.values()), "a step is broken")
    numbers = [p for group in state["param_groups"] for p in group["params"]]
    _require(numbers == list(range(len(optimizer.numbers()))), "the optimizer's parameters are numbered in another way")
    for name, array in arrays.items():
        if name.startswith("optimizer."):
            _, i, moment = name.split(".", 2)
            entries[int(i)][moment] = array
    groups = optimizer.param_groups
    names = [set(optimizer.moment_names(mine | theirs)) | {"step"} for mine, theirs in zip(
        groups, state["param_groups"], strict=True) for _ in mine["params"]]
    _require(all(set(entry) == names[i] for i, entry in entries.items()), "moments are missing or too many")
    return state | {"state": entries}


def load_checkpoint(path, model, optimizer, **parts):
    def expected_of(names):
        expected = {f"model.{name}": tensor.data for name, tensor in model.saved_tensors().items()}
        for i, p in enumerate(optimizer.numbers()):
            expected |= {name: p.data for name in names if name.startswith(f"optimizer.{i}.")}
        return expected

    arrays, text = load_arrays(path, expected_of)
    objects = [thing for thing in (optimizer, *parts.values()) if hasattr(thing, "__dict__")]
    before = [(thing, dict(vars(thing))) for thing in objects], optimizer.state_dict()
    dice = [x for thing in objects for x in vars(thing).values() if isinstance(x, np.random.Generator)]
    states = [(generator, generator.bit_generator.state) for generator in [default_generator(), *dice]]
    try:
        saved = json.loads(text)
        names = [", ".join(sorted(some)) or "none" for some in (saved["parts"], parts)]
        _require(names[0] == names[1], f"it has the parts {names[0]:.200}, not {names[1]}")
        state = _optimizer_state(saved["optimizer"], arrays, optimizer)
        generator_at(default_generator(), saved["generator"])
        optimizer.load_state_dict(state)
        for name, part in parts.items():
            _same_kinds(part, saved["parts"][name])
            part.load_state_dict(saved["parts"][name])
        model.load_state_dict({name[6:]: array for name, array in arrays.items() if name.startswith("model.")})
        default_generator().bit_generator.state = saved["generator"]
    except Exception as error:
        for thing, attributes in before[0]:
            vars(thing).clear()
            vars(thing).update(attributes)
        optimizer.load_state_dict(before[1])
        for generator, state in states:
            generator.bit_generator.state = state
        raise CheckpointError(f"{path}: not loaded: {type(error).__name__}: {printable(str(error)[:2000])}") from error
    return saved["config"]


def _same_kinds(part, saved):
    "Numbers of `saved` are where the part's own state has numbers, and no smaller than 0."
    _require(isinstance(saved, dict), "the state of a part is no dictionary")
    for name, own in part.state_dict().items() if hasattr(part, "state_dict") else ():
        if type(own) is int:
            _require(_is_size(saved[name]), f"{name} is {str(saved[name]):.50}")
