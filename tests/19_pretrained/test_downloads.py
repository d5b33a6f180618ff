"""Published names: downloads that are checked, go on where they ended, and say offline which files to put where."""
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.published import DOWNLOADS, Download, open_published

pytest.importorskip("pooch", reason="downloads need the extra: pip install -e '.[data]'")
TINY = dict(vocab_size=1000, context=8, d_model=64, num_layers=1, num_heads=2)  # half a megabyte


@pytest.fixture
def site(tmp_path, monkeypatch):
    "(a server that breaks off in the middle of what is in `broken`, the model behind it)"
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(**TINY))
    model.save_pretrained(tmp_path / "site")
    files = {path.name: path.read_bytes() for path in (tmp_path / "site").iterdir()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[1]
            server.asked.append((name, self.headers.get("Range")))
            first = int(re.search(r"\d+", self.headers.get("Range", "0"))[0])
            rest = files[name][first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            half = name in server.broken
            server.broken.discard(name)
            self.wfile.write(rest[:len(rest) // 2] if half else rest)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.broken, server.files = [], set(), files
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(DOWNLOADS, "tiny", Download(f"http://127.0.0.1:{server.server_port}/", digests))
    yield server, model
    server.shutdown()
    server.server_close()


def test_a_name_is_downloaded_once(site):
    server, model = site
    ids = Tensor(np.arange(8)[None])
    for _ in range(2):
        assert np.array_equal(nn.GPT.from_pretrained("tiny")(ids).data, model(ids).data)
    assert sorted(name for name, _ in server.asked) == ["config.json", "model.safetensors"]


def test_an_interrupted_download_goes_on_where_it_ended(site):
    server, model = site
    server.broken.add("model.safetensors")
    with pytest.raises(ValueError, match="tiny.*model.safetensors"):
        open_published("tiny")
    open_published("tiny")
    half = len(server.files["model.safetensors"]) // 2
    first = max(int(re.search(r"\d+", asked)[0]) for name, asked in server.asked if asked)
    assert half - (1 << 16) <= first <= half, "the block that broke off is asked for again, not what came before"
    assert np.array_equal(nn.GPT.from_pretrained("tiny").head.weight.data, model.head.weight.data)


def test_other_bytes_are_refused(site):
    server, _ = site
    server.files["model.safetensors"] = server.files["model.safetensors"][:-4] + b"evil"
    with pytest.raises(ValueError, match="model.safetensors.*SHA"):
        open_published("tiny")
    with pytest.raises(ValueError, match="model.safetensors"):  # nothing of it was kept
        open_published("tiny")


def test_offline_it_says_which_files_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path))
    closed = Download("http://127.0.0.1:9/", {"config.json": "0" * 64, "model.safetensors": "0" * 64})
    monkeypatch.setitem(DOWNLOADS, "tiny", closed)
    words = ("tiny: config.json cannot be downloaded .*; put config.json, model.safetensors from http://127.0.0.1:9/ "
             "into a folder, and name that folder")
    with pytest.raises(ValueError, match=words):
        open_published("tiny")


def test_what_is_published_has_a_state_and_a_digest():
    for name in ("gpt2", "smollm2-135m"):
        source = DOWNLOADS[name]
        assert re.fullmatch(r"https://huggingface.co/[\w-]+/[\w-]+/resolve/[0-9a-f]{40}/", source.base)
        assert set(source.sha256) == {"config.json", "tokenizer.json", "model.safetensors"}
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in source.sha256.values())
