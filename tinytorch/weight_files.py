"""Arrays in safetensors files, read block by block from where they lie; NumPy has no bfloat16, so that becomes float32.

The format (https://github.com/huggingface/safetensors): the length of a header, 8 bytes; the header, JSON of {name:
{"dtype", "shape", "data_offsets"}}; the numbers.
"""
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinytorch.regular_files import printable, regular

RAW = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # how the bits of floats are read
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}  # bytes
MOST_IN_HEADER, BLOCK = 100_000_000, 1 << 20  # bytes; numbers that are in memory beside the model


def kind_of(array):
    'Return dtype and shape as safetensors writes them: ("F32", [3, 4]).'
    code = "BOOL" if array.dtype.kind == "b" else f"{array.dtype.kind.upper()}{8 * array.dtype.itemsize}"
    return code, list(array.shape)


class StoredArray(NamedTuple):
    "An array in a file: where it begins, and what it is. The numbers of floats, those in RAW, can be read."
    path: Path
    dtype: str
    shape: tuple
    start: int

    def blocks(self):
        "Yield (slice of the first dim, float array) until all rows were read; a few million bytes at a time."
        width = math.prod(self.shape[1:])
        rows = max(1, BLOCK // max(width, 1))
        with open(self.path, "rb") as file:
            file.seek(self.start)
            for first in range(0, self.shape[0], rows):
                last = min(first + rows, self.shape[0])
                raw = np.fromfile(file, RAW[self.dtype], (last - first) * width)
                yield slice(first, last), as_floats(raw, self.dtype).reshape(last - first, *self.shape[1:])

    def copy_to(self, target):
        "Write the numbers into an array of the same shape."
        for rows, block in self.blocks():
            target[rows] = block


def as_floats(raw, dtype):
    "Return floats for the bits of an array; a bfloat16 is the upper half of a float32."
    return (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else raw


def read_tensor(path, file, name):
    "Return an array of a file that `safe_open` has opened; bfloat16 as float32."
    if file.get_slice(name).get_dtype() != "BF16":
        return file.get_tensor(name)
    stored = stored_arrays(path)[name]
    array = np.empty(stored.shape, np.float32)
    stored._replace(shape=(1, *stored.shape)).copy_to(array[None])
    return array


def once(pairs):
    "Return a dict. Raises: ValueError for a name that comes twice, of which JSON would keep the last."
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{max(names, key=names.count)!r} is there twice")
    return found


def read_json(path, most=1 << 20):
    "Return what a JSON file of at most `most` bytes says. Raises: ValueError that names the file."
    try:
        size = os.path.getsize(regular(path))
        if size > most:
            raise ValueError(f"it has {size:,} bytes, expected at most {most:,}")
        return json.loads(Path(path).read_bytes(), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, got {printable(str(error))[:300]}") from None


def stored_arrays(path):
    """Return {name: StoredArray} of a safetensors file, from its header alone.
    Raises: ValueError that names the file, for one that is damaged, or has numbers of a kind that is not in SIZES."""
    try:
        size = os.path.getsize(regular(path))
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MOST_IN_HEADER):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}: it was cut off, or is none")
            entries = json.loads(file.read(length), object_pairs_hook=once)
        entries.pop("__metadata__", None)
        found = {name: stored(path, name, entry, 8 + length) for name, entry in entries.items()}
        end = 8 + length
        for name, array in sorted(found.items(), key=lambda item: item[1].start):
            if array.start != end:
                raise ValueError(f"{name} begins at byte {array.start:,}, but what is before it ends at {end:,}")
            end += math.prod(array.shape) * SIZES[array.dtype]
        if end != size:
            raise ValueError(f"the arrays end at byte {end:,}, the file at {size:,}")
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: no safetensors file: {printable(str(error))[:300]}") from None


def stored(path, name, entry, begin):
    "Return the StoredArray of a header's entry. Raises: ValueError for one that says what cannot be."
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in SIZES:
        raise ValueError(f"{name}: dtype {dtype}, expected one of {', '.join(SIZES)}")
    if not all(type(n) is int and 0 <= n for n in (*shape, start, end)):
        raise ValueError(f"{name}: shape {shape} and offsets {start}, {end}: expected integers from 0 on")
    if end - start != math.prod(shape) * SIZES[dtype]:
        raise ValueError(f"{name}: {end - start:,} bytes for {dtype} of shape {shape}")
    return StoredArray(path, dtype, tuple(shape), begin + start)


class StoredFolder:
    """A published model on the disk, at `where`: `config`, the entries of its config.json, and `arrays`.
    Raises: ValueError that names the file at fault."""
    def __init__(self, folder):
        self.where = Path(folder)
        self.config = read_json(self.where / "config.json")
        if not isinstance(self.config, dict):
            raise ValueError(f"{self.where / 'config.json'}: expected an object, {{...}}")

    def arrays(self):
        "Return {name: StoredArray}, from the header of model.safetensors, or of the shards that an index names."
        index, single = (self.where / f"model.safetensors{end}" for end in (".index.json", ""))
        if single.exists() or not index.exists():
            return stored_arrays(single)
        places, found = shards_of(index), {}
        for shard in sorted(set(places.values())):
            arrays = stored_arrays(self.where / shard)
            if wrong := [name for name in arrays if places.get(name) != shard]:
                raise ValueError(f"{self.where / shard}: holds {wrong[0]!r}, which the index does not have there")
            found |= arrays
        if missing := [name for name in places if name not in found]:
            raise ValueError(f"{self.where / places[missing[0]]}: lacks {missing[0]!r}, which the index has there")
        return found


def shards_of(index):
    "Return {name of an array: name of a file beside the index}. Raises: ValueError for a file anywhere else."
    places = read_json(index, 50 << 20)
    places = places.get("weight_map") if isinstance(places, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f'{index}: expected "weight_map": {{name of a weight: name of a file}}')
    if outside := [name for name in places.values() if not plain_name(name)]:
        raise ValueError(f"{index}: {outside[0]!r} is not the name of a safetensors file in this folder")
    return places


def plain_name(name):
    "Return whether a text names a safetensors file and no folder, on any system."
    return name.endswith(".safetensors") and name.isprintable() and not set(name) & set("/\\:")
