"""Texts: where they are looked for, what is checked, and what an error says."""
import ast
import functools
import hashlib
import http.server
import os
import sys
import threading
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "milestones"))

import corpora  # noqa: E402
from corpora import SOURCES, load, split_text  # noqa: E402
from sources import DatasetError, Source, fetch  # noqa: E402

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
    assert fetch("story", SOURCES["story"]) == folder / "story.txt"
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
    assert fetch("story", SOURCES["story"]) == folder / "some.txt"
    (folder / "all.txt").write_text("everything")
    assert fetch("story", SOURCES["story"]) == folder / "all.txt"


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
    path = fetch("story", SOURCES["story"], progress=False)
    assert path.read_bytes() == TEXT.encode() and fetch("story", SOURCES["story"], progress=False) == path
    assert len(server[2]) == 1, "the second time it comes from the cache"


def test_a_download_with_another_hash_is_not_kept(story, tmp_path):
    story("0" * 64)
    with pytest.raises(DatasetError, match="story: http.*sends another sha256 than expected"):
        fetch("story", SOURCES["story"], progress=False)
    assert not list((tmp_path / "cache").glob("story*"))


def test_a_damaged_cache_is_downloaded_again(story, server):
    story(SHA)
    path = fetch("story", SOURCES["story"], progress=False)
    path.write_text("damaged")
    assert fetch("story", SOURCES["story"], progress=False).read_bytes() == TEXT.encode() and len(server[2]) == 2


def test_a_damaged_cache_without_network(story, server, monkeypatch):
    story(SHA)
    path = fetch("story", SOURCES["story"], progress=False)
    path.write_text("damaged")
    monkeypatch.setitem(SOURCES, "story", SOURCES["story"]._replace(url="http://127.0.0.1:9/story.txt"))
    with pytest.raises(DatasetError, match="cache/story.txt is damaged and cannot be downloaded again.*TINYTORCH_DATA"):
        fetch("story", SOURCES["story"], progress=False)


def test_an_unknown_hash_is_recorded_and_checked_from_then_on(story, capsys, tmp_path):
    served = story(None)
    path = fetch("story", SOURCES["story"], progress=False)
    assert (tmp_path / "cache" / "story.txt.sha256").read_text().strip() == SHA
    assert "no sha256" in (said := capsys.readouterr().err) and "recorded in" in said
    fetch("story", SOURCES["story"], progress=False)
    assert capsys.readouterr().err == ""
    path.write_text("damaged")
    assert fetch("story", SOURCES["story"], progress=False).read_bytes() == TEXT.encode()
    path.write_text("damaged")
    served.write_text("a new version")
    with pytest.raises(DatasetError, match="if a new version was published, delete .*story.txt.sha256"):
        fetch("story", SOURCES["story"], progress=False)


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
    ast.parse(corpora.python_source(characters=100_000).train)


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
