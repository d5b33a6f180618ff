"""Texts: where they are looked for, what is checked, and what an error says; tokens on disk."""
import ast
import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinytorch
from tinytorch import datasets
from tinytorch.data import DataLoader
from tinytorch.datasets import (
    SOURCES,
    DatasetError,
    RandomBatches,
    Source,
    TokenDataset,
    fetch,
    load,
    split_text,
    write_tokens,
)

TEXT = "Once upon a time.\n<|endoftext|>\n" * 40
SHA = hashlib.sha256(TEXT.encode()).hexdigest()
GIVEN = os.environ.get("TINYTORCH_DATA")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    "No local folder, an empty cache."
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    "An empty folder, with TINYTORCH_DATA pointing at it."
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(tmp_path):
    "(folder, address) of a web server on this machine; what it was asked for is in its `asked`."
    pytest.importorskip("pooch", reason="downloads need the extra: pip install -e '.[data]'")
    served, asked = tmp_path / "served", []
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=served))
    thread = threading.Thread(target=web.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield served, f"http://127.0.0.1:{web.server_port}", asked
    web.shutdown()
    web.server_close()
    thread.join()


@pytest.fixture
def story(monkeypatch, server):
    "A text named 'story' on that server; story(sha256) says which hash is known of it."
    served, address, _ = server
    (served / "story.txt").write_bytes(TEXT.encode())

    def known(sha256):
        monkeypatch.setitem(SOURCES, "story", Source("story.txt", f"{address}/story.txt", sha256, "<|endoftext|>"))
        return served / "story.txt"
    return known


# ---- a local folder


def test_the_local_folder_comes_first(folder, monkeypatch):
    monkeypatch.setitem(SOURCES, "story", Source("story.txt", "http://127.0.0.1:9/none", SHA))
    (folder / "story.txt").write_bytes(TEXT.encode())
    assert fetch("story") == folder / "story.txt"
    assert load("story").train + load("story").held_out == TEXT


def test_a_damaged_file_in_the_local_folder_is_named(folder, monkeypatch):
    monkeypatch.setitem(SOURCES, "story", Source("story.txt", "http://127.0.0.1:9/none", SHA))
    (folder / "story.txt").write_bytes(TEXT.encode()[:-1])
    with pytest.raises(DatasetError, match=r"data/story.txt: sha256 .* expected .* the file is damaged.*127.0.0.1:9"):
        load("story")


def test_a_file_that_may_stand_in(folder, monkeypatch):
    others = (("some.txt", SHA),)
    monkeypatch.setitem(SOURCES, "story", Source("all.txt", "http://127.0.0.1:9/none", None, others=others))
    (folder / "some.txt").write_bytes(TEXT.encode())
    assert fetch("story") == folder / "some.txt"
    (folder / "all.txt").write_text("everything")
    assert fetch("story") == folder / "all.txt"


def test_a_byte_order_mark_is_no_character_to_learn(folder, monkeypatch):
    monkeypatch.setitem(SOURCES, "story", Source("story.txt", "http://127.0.0.1:9/none", None))
    (folder / "story.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert load("story").train + load("story").held_out == TEXT


def test_a_file_that_is_no_text(folder):
    (folder / "TinyStories-valid.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="TinyStories-valid.txt: expected UTF-8"):
        load("tinystories")


@pytest.mark.skipif(not GIVEN, reason="the tests were started without TINYTORCH_DATA")
@pytest.mark.parametrize("name", ["tinyshakespeare", "tinystories"])
def test_the_texts_of_a_local_folder(name, monkeypatch):
    monkeypatch.setenv("TINYTORCH_DATA", GIVEN)
    corpus = load(name)
    assert corpus.source.startswith(GIVEN) and len(corpus.train) > 500_000
    assert len(corpus.held_out) / len(corpus.train + corpus.held_out) == pytest.approx(0.1, abs=0.005)


# ---- downloads


def test_a_download_is_checked_and_kept(story, server):
    story(SHA)
    path = fetch("story", progress=False)
    assert path.read_bytes() == TEXT.encode() and fetch("story", progress=False) == path
    assert len(server[2]) == 1, "the second time it comes from the cache"


def test_a_download_with_another_hash_is_not_kept(story, tmp_path):
    story("0" * 64)
    with pytest.raises(DatasetError, match="story: http.*sends another sha256 than expected"):
        fetch("story", progress=False)
    assert not list((tmp_path / "cache").glob("story*"))


def test_a_damaged_cache_is_downloaded_again(story, server):
    story(SHA)
    path = fetch("story", progress=False)
    path.write_text("damaged")
    assert fetch("story", progress=False).read_bytes() == TEXT.encode() and len(server[2]) == 2


def test_a_damaged_cache_without_network(story, server, monkeypatch):
    story(SHA)
    path = fetch("story", progress=False)
    path.write_text("damaged")
    monkeypatch.setitem(SOURCES, "story", SOURCES["story"]._replace(url="http://127.0.0.1:9/story.txt"))
    with pytest.raises(DatasetError, match="cache/story.txt is damaged and cannot be downloaded again.*TINYTORCH_DATA"):
        fetch("story", progress=False)


def test_an_unknown_hash_is_recorded_and_checked_from_then_on(story, capsys, tmp_path):
    served = story(None)
    path = fetch("story", progress=False)
    assert (tmp_path / "cache" / "story.txt.sha256").read_text().strip() == SHA
    assert "no sha256" in (said := capsys.readouterr().err) and "recorded in" in said
    fetch("story", progress=False)
    assert capsys.readouterr().err == ""
    path.write_text("damaged")
    assert fetch("story", progress=False).read_bytes() == TEXT.encode()
    path.write_text("damaged")
    served.write_text("a new version")
    with pytest.raises(DatasetError, match="if a new version was published, delete .*story.txt.sha256"):
        fetch("story", progress=False)


def test_without_network_the_error_says_which_file_to_put_where(monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setitem(SOURCES, "story", Source("story.txt", "http://127.0.0.1:9/far/away.txt", SHA))
    with pytest.raises(DatasetError) as error:
        load("story")
    message = str(error.value)
    assert "cannot be downloaded" in message and "\n" not in message
    assert "download http://127.0.0.1:9/far/away.txt as story.txt into a folder, and set TINYTORCH_DATA" in message


def test_without_pooch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DatasetError, match=r"tinyshakespeare.txt into a folder.*pip install pooch tqdm"):
        load("tinyshakespeare")


def test_every_source_is_well_formed():
    assert {"tinyshakespeare", "tinystories"} <= set(SOURCES)
    for source in SOURCES.values():
        assert source.url.startswith("https://") and (source.sha256 is None or len(source.sha256) == 64)


def test_unknown_names_and_shares():
    with pytest.raises(ValueError, match="got 'shakespeare', expected one of 'python', 'tinyshakespeare'"):
        load("shakespeare")
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match="share between 0 and 1"):
            load("python", held_out=share)


# ---- held out


def test_a_split_at_a_place():
    assert split_text("0123456789", 0.3) == ("0123456", "789")


def test_a_split_behind_a_separator():
    train, held_out = split_text("one|two|three|four|five", 0.5, "|")
    assert (train, held_out) == ("one|two|three|", "four|five")


@pytest.mark.parametrize("text, separator", [("", ""), ("a", ""), ("one story only|\n", "|"), ("no separator", "|")])
def test_too_short_to_split(text, separator):
    with pytest.raises(ValueError, match=f"story: {len(text)} characters are too few"):
        split_text(text, 0.1, separator, "story")


# ---- Python's own source


@pytest.fixture(scope="module")
def python():
    return load("python")


def test_python_source_is_python(python):
    assert 3_000_000 < len(python.train) + len(python.held_out) < 5_000_000
    assert 0.02 < len(python.held_out) / len(python.train) < 0.3
    characters = set(python.train + python.held_out)
    assert characters <= {"\n", *map(chr, range(32, 127))} and len(characters) == 96
    ast.parse(datasets.python_source(characters=100_000).train)


def test_python_source_is_always_the_same(python):
    assert load("python") == python


def test_no_held_out_file_is_trained_on(python):
    lines = python.held_out.splitlines()
    theirs = [line for line in lines if line.startswith(("class ", "def ", "    def ")) and len(line) > 45]
    shared = [line for line in theirs if line in python.train]
    assert len(theirs) > 50 and len(shared) < 0.05 * len(theirs)


def test_a_python_without_source(monkeypatch, tmp_path):
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DatasetError, match="holds the source of 0 modules"):
        load("python")


# ---- tokens on disk


@pytest.fixture
def tokens(tmp_path):
    "(path, array) of 1000 tokens on disk"
    array = np.random.default_rng(0).integers(0, 2**16, 1000)
    write_tokens(tmp_path / "tokens.bin", array, chunk=64)
    return tmp_path / "tokens.bin", array


def test_what_is_written(tokens, tmp_path):
    path, array = tokens
    np.testing.assert_array_equal(np.fromfile(path, np.uint16), array)
    assert path.stat().st_size == 2000
    assert write_tokens(path, (i % 7 for i in range(100)), chunk=9) == 100
    np.testing.assert_array_equal(np.fromfile(path, np.uint16), np.arange(100) % 7)
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.bin"]


@pytest.mark.parametrize("ids, says", [([1, 2, 65536], "ids from 1 to 65536 do not fit into uint16.*uint32"),
                                       ([5, -1], "from -1 to 5"), ([], "no ids")])
def test_what_cannot_be_written_leaves_the_old_file(tokens, tmp_path, ids, says):
    with pytest.raises(ValueError, match=says):
        write_tokens(tokens[0], ids)
    assert tokens[0].stat().st_size == 2000 and len(list(tmp_path.iterdir())) == 1


def test_a_stream_that_breaks_leaves_the_old_file(tokens, tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_tokens(tokens[0], (1 // (50 - i) for i in range(100)), chunk=10)
    assert tokens[0].stat().st_size == 2000 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tokens):
    code = ("import resource, sys\nfrom tinytorch.datasets import write_tokens\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "write_tokens(sys.argv[1], range(60_000), chunk=99)")
    done = subprocess.run([sys.executable, "-c", code, tokens[0]], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert tokens[0].stat().st_size == 2000 and os.listdir(tokens[0].parent) == [tokens[0].name]


@pytest.mark.parametrize("stride", [1, 3, 8, 50])
@pytest.mark.parametrize("on_disk", [True, False])
def test_windows_and_their_targets(tokens, stride, on_disk):
    path, array = tokens
    dataset = TokenDataset(path if on_disk else array, context=8, stride=stride)
    starts = [start for start in range(0, 1000, stride) if start + 9 <= 1000]
    assert len(dataset) == len(starts)
    inputs, targets = dataset.batch(np.arange(len(dataset)))
    assert inputs.dtype == targets.dtype == np.int64 and inputs.shape == targets.shape == (len(starts), 8)
    np.testing.assert_array_equal(inputs.data, [array[s:s + 8] for s in starts])
    np.testing.assert_array_equal(targets.data, [array[s + 1:s + 9] for s in starts])
    for index in (0, 1, -1):
        np.testing.assert_array_equal(dataset[index][0].data, inputs.data[index])
        np.testing.assert_array_equal(dataset[index][1].data, targets.data[index])
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match="window"):
            dataset[index]


def test_every_token_is_a_target_once_with_stride_context(tokens):
    dataset = TokenDataset(tokens[0], context=9, stride=9)
    targets = np.concatenate([target.data.reshape(-1) for _, target in DataLoader(dataset, batch_size=16)])
    np.testing.assert_array_equal(targets, tokens[1][1:1 + len(targets)])
    assert len(targets) > 990


def test_a_getitem_of_ones_own_makes_the_batches(tokens):
    class Backwards(TokenDataset):
        def __getitem__(self, index):
            return tuple(x.flip(0) for x in super().__getitem__(index))

    usual, turned = TokenDataset(tokens[0], context=8), Backwards(tokens[0], context=8)
    for ours, theirs in zip(turned.batch(np.array([7, 2])), usual.batch(np.array([7, 2]))):
        np.testing.assert_array_equal(ours.data, theirs.data[:, ::-1])


def test_in_a_loader(tokens):
    dataset = TokenDataset(tokens[0], context=8)
    batches = list(DataLoader(dataset, batch_size=32, shuffle=True, generator=0))
    assert sum(len(inputs) for inputs, _ in batches) == len(dataset) == 992
    np.testing.assert_array_equal(batches[0][0].data[:, 1:], batches[0][1].data[:, :-1])


def test_a_file_larger_than_what_is_read(tmp_path):
    import tracemalloc
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(2 * 200_000_000)  # 200 million tokens that take no room on disk
    tracemalloc.start()
    dataset = TokenDataset(path, context=64)
    for inputs, _ in RandomBatches(dataset, 16, batches=50, generator=0):
        assert inputs.shape == (16, 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset) == 200_000_000 - 64 and peak < 1_000_000


def test_wrong_files_and_sizes(tokens, tmp_path):
    (tmp_path / "odd.bin").write_bytes(b"123")
    (tmp_path / "empty.bin").write_bytes(b"")
    for name, size in (("odd.bin", 3), ("empty.bin", 0)):
        with pytest.raises(ValueError, match=f"{name}: {size} bytes are no row of uint16"):
            TokenDataset(tmp_path / name, 8)
    with pytest.raises(FileNotFoundError):
        TokenDataset(tmp_path / "none.bin", 8)
    with pytest.raises(ValueError, match=r"\(8,\), expected one row of at least context \+ 1 = 9"):
        TokenDataset(np.arange(8), 8)
    assert len(TokenDataset(np.arange(9), 8)) == 1
    for context, stride in ((0, 1), (8, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            TokenDataset(tokens[0], context, stride)


# ---- random batches


def first_ids(loader):
    return [inputs.data[:, 0].tolist() for inputs, _ in loader]


def test_random_batches_follow_their_generator(tokens):
    dataset = TokenDataset(tokens[0], 8)
    once, again = (RandomBatches(dataset, 4, 10, generator=1) for _ in range(2))
    epoch = first_ids(once)
    assert epoch == first_ids(again) and len(epoch) == len(once) == 10
    assert first_ids(once) != epoch, "another epoch, other batches"
    tinytorch.manual_seed(3)
    ours = first_ids(RandomBatches(dataset, 4, 10))
    tinytorch.manual_seed(3)
    assert first_ids(RandomBatches(dataset, 4, 10)) == ours


def test_a_pass_is_continued(tokens):
    dataset = TokenDataset(tokens[0], 8)
    whole = RandomBatches(dataset, 4, 10, generator=1)
    expected = first_ids(whole) + first_ids(whole)
    first = RandomBatches(dataset, 4, 10, generator=1)
    batches = iter(first)
    seen = [next(batches)[0].data[:, 0].tolist() for _ in range(6)]
    saved = json.loads(json.dumps(batches.state_dict()))
    second = RandomBatches(dataset, 4, 10, generator=99)
    second.load_state_dict(saved)
    assert seen + first_ids(second) + first_ids(second) == expected
    for other in (RandomBatches(dataset, 4, 5, generator=1), RandomBatches(dataset, 4, 10)):
        with pytest.raises(ValueError, match="expected"):
            other.load_state_dict(saved)


def test_sizes_of_random_batches(tokens):
    for sizes in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            RandomBatches(TokenDataset(tokens[0], 8), *sizes)
