"""`save` and `load`: plain data with tensors in it, in a file that holds no code.

The file is NumPy's .npz: an array for each tensor, and `structure`, JSON, which says what lies where."""
import io
import json
import zipfile
from pathlib import Path

import numpy as np

from tinytorch.checkpoint import CheckpointError, write_whole
from tinytorch.regular_files import regular
from tinytorch.tensor import Tensor
from tinytorch.vocabulary.names import check_device

PLAIN = (bool, int, float, str, type(None))


def save(obj, f):
    """Write `obj` to a path or an open binary file: tensors, arrays, numbers, texts, None, and lists, tuples and
    dictionaries of these, such as a `state_dict()`. Raises: TypeError, saying where, for anything else;
    CheckpointError where a path cannot be written, and what was there stays."""
    arrays, memory = {}, io.BytesIO()
    structure = json.dumps(_taken_apart(obj, arrays, "obj"))
    np.savez(memory, structure=np.frombuffer(structure.encode(), np.uint8), **arrays)
    if hasattr(f, "write"):
        f.write(memory.getvalue())
    else:
        write_whole(f, memory.getvalue())


def load(f, map_location=None, weights_only=True):
    """Return what `save` wrote to a path or an open binary file. Never runs code, whatever `weights_only` says.
    Raises: CheckpointError for a file that `save` did not write, such as PyTorch's own."""
    check_device(map_location)
    try:
        with np.load(f if hasattr(f, "read") else Path(regular(f)), allow_pickle=False) as arrays:
            return _put_together(json.loads(arrays["structure"].tobytes()), arrays)
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, TypeError, RecursionError) as error:
        raise CheckpointError(f"{f}: not written by tinytorch.save, or damaged ({error!r:.200}); weights of PyTorch: "
                              "safetensors.torch.save_file there, checkpoint.load_weights here") from error


def _taken_apart(obj, arrays, path):
    "Return `obj` for JSON; its arrays go to `arrays`."
    if isinstance(obj, PLAIN):
        return {"plain": obj}
    if isinstance(obj, (Tensor, np.ndarray)):
        name = f"array{len(arrays)}"
        arrays[name] = obj.data if isinstance(obj, Tensor) else obj
        if arrays[name].dtype.hasobject:
            raise TypeError(f"save: {path}: an array of Python objects")
        return {"tensor" if isinstance(obj, Tensor) else "array": name,
                "requires_grad": isinstance(obj, Tensor) and obj.requires_grad and obj.is_leaf}
    if isinstance(obj, np.generic):
        return {"plain": obj.item()}
    if isinstance(obj, dict):
        return {"dict": [[_key(key, path), _taken_apart(value, arrays, f"{path}[{key!r}]")]
                         for key, value in obj.items()]}
    if isinstance(obj, (list, tuple)):
        items = [_taken_apart(value, arrays, f"{path}[{i}]") for i, value in enumerate(obj)]
        return {"list" if isinstance(obj, list) else "tuple": items}
    raise TypeError(f"save: {path}: cannot save a {type(obj).__name__}; of a module or an optimizer, its state_dict()")


def _key(key, path):
    if not isinstance(key, PLAIN):
        raise TypeError(f"save: {path}: keys are texts and numbers, got {type(key).__name__}")
    return key


def _put_together(node, arrays):
    ((kind, value), *rest) = node.items()
    if kind == "plain":
        return value
    if kind == "array":
        return arrays[value]
    if kind == "tensor":
        return Tensor(arrays[value], requires_grad=dict(rest)["requires_grad"])
    if kind == "dict":
        return {key: _put_together(item, arrays) for key, item in value}
    return {"list": list, "tuple": tuple}[kind](_put_together(item, arrays) for item in value)
