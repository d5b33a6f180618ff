"""What is no file, and would be waited for or never end, is refused by everything that reads a file of people's."""
import os

import pytest

import tinytorch
from tinytorch.checkpoint import CheckpointError, load_checkpoint, load_weights, save_weights
from tinytorch.nn import Linear
from tinytorch.optim import SGD
from tinytorch.tokenizers import BPETokenizer, CharTokenizer, Tokenizer


def resume(path):
    model = Linear(1, 1)
    load_checkpoint(path, model, SGD(model.parameters(), lr=0.1))


READERS = {
    "load": (tinytorch.load, CheckpointError),
    "weights": (lambda path: load_weights(path, Linear(1, 1)), CheckpointError),
    "checkpoint": (resume, CheckpointError),
    "tokenizer": (Tokenizer.load, ValueError),
    "vocabulary": (lambda path: BPETokenizer.from_files(path, os.devnull), ValueError),
    "merges": (lambda path: BPETokenizer.from_files(os.devnull, path), ValueError),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device"])
@pytest.mark.parametrize("name", READERS)
@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_at_once(name, kind, tmp_path):
    path = tmp_path / "given"
    if kind == "device":
        path = "/dev/zero"
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    read, error = READERS[name]
    with pytest.raises(error, match=f"{os.devnull if name == 'vocabulary' else path}: .*expected a file, got a pipe"):
        read(path)


def test_links_to_files_are_read(tmp_path):
    CharTokenizer("ab").save(tmp_path / "t.json")
    save_weights(tmp_path / "w.safetensors", model := Linear(2, 1))
    tinytorch.save([1, 2], tmp_path / "data")
    for name in ("t.json", "w.safetensors", "data"):
        (tmp_path / f"link-{name}").symlink_to(tmp_path / name)
    assert Tokenizer.load(tmp_path / "link-t.json").encode("ba") == [1, 0]
    load_weights(tmp_path / "link-w.safetensors", model)
    assert tinytorch.load(tmp_path / "link-data") == [1, 2]
