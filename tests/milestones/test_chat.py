"""The SmolLM2 milestone: how it talks, with a small random model; the page; and, in the slow tier, the model itself."""
import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
from tinytorch.published import packaged
from tinytorch.tokenizers import BPETokenizer

FOLDER = Path(__file__).parents[2] / "milestones" / "06_2025_smollm"


def load(path):
    sys.path.insert(0, str(FOLDER))  # as for a script: it imports what lies beside it
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


chat, conversation = (load(FOLDER / f"{name}.py") for name in ("chat", "conversation"))
NAMES = ["<|im_start|>", "<|im_end|>"]


@pytest.fixture
def talk():
    "A Conversation with a model that knows nothing: bytes, and the two special tokens."
    tokenizer = BPETokenizer([bytes([b]) for b in range(256)] + [name.encode() for name in NAMES], [], NAMES)
    tinytorch.manual_seed(0)
    config = nn.GPTConfig(vocab_size=258, context=256, d_model=16, num_layers=2, num_heads=2, positions="rotary")
    return conversation.Conversation(nn.GPT(config), tokenizer, system="Be brief")


def said(talk, text, **options):
    return "".join(talk.answer(text, **{"max_tokens": 20, "temperature": 1.0, "top_p": 1.0, "seed": 1} | options))


# ---- the conversation

def test_the_template_is_chatml(talk):
    talk.messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    text = ("<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>assistant\n")
    assert talk.prompt(20) == talk.tokenizer.encode(text)


def test_who_types_a_special_token_types_text(talk):
    ids = talk.text_ids("a<|im_end|>b<|im_start|>")
    assert max(ids) < 256 and talk.tokenizer.decode(ids) == "a<|im_end|>b<|im_start|>"


def test_an_answer_is_that_of_generate_and_the_cache_goes_on(talk):
    from tinytorch.generation import generate

    for question in ("one", "and two"):
        before = list(talk.messages)
        answer = said(talk, question, temperature=0)
        talk_messages, talk.messages = talk.messages, [*before, {"role": "user", "content": question}]
        ids = talk.prompt(20)
        talk.messages = talk_messages
        new = generate(talk.model, ids, 20, temperature=0, stop_tokens=257, use_cache=False)[len(ids):].tolist()
        assert answer == talk.tokenizer.decode([id for id in new if id != 257]).rstrip("\ufffd")
        assert talk.messages[-2:] == [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        assert talk.cache.length > len(ids) - 1


def test_pieces_are_whole_characters_and_a_seed_repeats_them(talk):
    pieces = list(talk.answer("x", 30, 1.0, 1.0, 3))
    talk.reset()
    assert pieces == list(talk.answer("x", 30, 1.0, 1.0, 3)) and len(pieces) > 1
    assert not pieces[-1].endswith("\ufffd")


def test_the_oldest_messages_go_first(talk):
    for number in range(8):
        said(talk, f"question {number}")
        assert talk.cache.length <= talk.model.context
    text = talk.tokenizer.decode(talk.prompt(20))
    assert "question 7" in text and "question 0" not in text and text.startswith("<|im_start|>system\nBe brief")
    assert len(talk.prompt(20)) + 20 <= talk.model.context and len(talk.messages) == 16


def test_a_message_that_is_too_long_is_refused_and_not_kept(talk):
    said(talk, "short")
    before = list(talk.messages)
    with pytest.raises(ValueError, match="has 3.. tokens, and at most .* fit beside an answer of 20"):
        said(talk, "x" * 300)
    assert talk.messages == before


def test_who_stops_early_keeps_what_was_said(talk):
    pieces = talk.answer("x", 30, 1.0, 1.0, 3)
    first = next(pieces)
    pieces.close()
    assert talk.messages[-1] == {"role": "assistant", "content": first}
    assert said(talk, "go on")


# ---- the command

@pytest.mark.parametrize("arguments", [["--talk", "--web"], ["--web", "--broken", "ungrouped"], ["--top-p", "0"],
                                       ["--temperature", "-1"], ["--max-tokens", "0"], ["--port", "0"]])
def test_arguments_that_make_no_sense(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["chat.py", *arguments])
    with pytest.raises(SystemExit) as exit:
        chat.main()
    assert exit.value.code == 2 and "expected" in capsys.readouterr().err


# ---- the page

@pytest.fixture
def page(talk):
    "(address of the page, its conversation); every token takes 20 ms."
    import uvicorn

    step = talk.model.forward

    def slow(*arguments, **options):
        time.sleep(0.02)
        return step(*arguments, **options)

    talk.model.forward = slow
    web = load(FOLDER / "web.py")
    app = web.application(talk, {"max_tokens": 100, "temperature": 1.0, "top_p": 1.0, "seed": None})
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning",
                                           timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", talk
    server.should_exit = True
    thread.join(10)


def post(address, path, body, kind="application/json", **headers):
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/{path}", data, {"Content-Type": kind} | headers)
    return urllib.request.urlopen(request)


def messages(address):
    return json.load(urllib.request.urlopen(f"{address}/messages"))


def until_free(address):
    while messages(address)["busy"]:
        time.sleep(0.02)


def refused(code, call):
    with pytest.raises(urllib.error.HTTPError) as error:
        call()
    assert error.value.code == code


def test_an_answer_comes_in_pieces_and_is_remembered(page):
    address, talk = page
    reply = post(address, "say", {"text": " hello "})
    first = reply.read1(10)
    assert first and messages(address)["busy"]  # it reads while the model still answers
    refused(409, lambda: post(address, "say", {"text": "and?"}))
    refused(409, lambda: post(address, "forget", {}))
    text = (first + reply.read()).decode()
    until_free(address)
    kept = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": text}]
    assert messages(address)["messages"] == kept
    post(address, "forget", {})
    assert messages(address) == {"messages": [], "busy": False}


def test_stop_ends_an_answer_and_so_does_who_leaves(page):
    address, talk = page
    for leave in (False, True):
        reply, began = post(address, "say", {"text": "hello"}), time.perf_counter()
        reply.read1(10)
        if leave:
            reply.close()
        else:
            post(address, "stop", {})
            reply.read()
        until_free(address)
        assert len(talk.read) < len(talk.prompt(1)) + 100, began
        assert talk.messages[-1]["role"] == "assistant" and len(talk.messages[-1]["content"]) < 95


def test_other_pages_and_machines_are_kept_out(page):
    address, talk = page
    refused(415, lambda: post(address, "say", {"text": "x"}, kind="text/plain"))  # what a form elsewhere could send
    refused(400, lambda: post(address, "say", {"text": "x"}, Host="example.org"))
    for body in ({}, {"text": ""}, {"text": 3}, [], {"text": "x" * 30_000}, {"text": "x" * 300}):
        refused(400, lambda body=body: post(address, "say", body))
    assert messages(address) == {"messages": [], "busy": False}


# ---- SmolLM2 itself: 93 MB, minutes

def run(*arguments, folder):
    done = subprocess.run([sys.executable, FOLDER / "chat.py", *arguments], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"TINYTORCH_FAST": "compiled"}, input="")
    (made,) = (folder / "runs").iterdir()
    return done, json.loads((made / "results.json").read_text())["criteria"]


@pytest.mark.slow
def test_it_answers_as_transformers_does(tmp_path):
    done, criteria = run(folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    print(*(f"{each['name']}: {each['got']:.3g}" for each in criteria), sep="\n")


@pytest.mark.slow
@pytest.mark.parametrize("broken", list(chat.BROKEN))
def test_a_broken_model_fails(broken, tmp_path):
    done, criteria = run("--broken", broken, folder=tmp_path)
    assert done.returncode == 1 and not all(each["passed"] for each in criteria), done.stdout + done.stderr
    print(broken, *(f"{each['name']}: {each['got']:.3g}" for each in criteria), sep="\n")


@pytest.mark.slow
def test_what_was_recorded_is_what_transformers_says():
    found = load(Path(__file__).with_name("record_smollm.py")).record()
    recorded = json.loads((FOLDER / "recorded.json").read_text())
    assert math.isclose(found["held-out loss"], recorded["held-out loss"], rel_tol=1e-5)
    for now, then in zip(found["answers"], recorded["answers"], strict=True):
        assert (now["ids"], now["answer"]) == (then["ids"], then["answer"]), now["prompt"]
        assert np.allclose(now["top logits"], then["top logits"], atol=1e-3)


@pytest.mark.slow
def test_tokens_and_template_are_those_of_transformers():
    import tokenizers.pre_tokenizers as pieces
    import transformers

    path = packaged(chat.NAME)
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    theirs.backend_tokenizer.pre_tokenizer = pieces.Sequence(  # SmolLM2's own: a GGUF file names them, no more
        [pieces.Digits(individual_digits=True), pieces.ByteLevel(add_prefix_space=False)])
    model, ours = chat.read_model()
    for text in ("It cost 1234.50 in   1999,  wasn't it?\n\n 7", "naïve café 東京 Привет 👋🏽",
                 "def f(x):\n    return x[0]  # 10"):
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids, text
        assert ours.decode(ours.encode(text)) == text
    talk = conversation.Conversation(model, ours)
    talk.messages = [{"role": "user", "content": "Hello, what is 2 + 2?"}, {"role": "assistant", "content": "4"},
                     {"role": "user", "content": "\nSure?"}]
    text = theirs.apply_chat_template(talk.messages, add_generation_prompt=True, tokenize=False)
    assert talk.prompt(64) == theirs(text, add_special_tokens=False).input_ids


@pytest.fixture
def browser():
    "Chromium without a window."
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=800,900"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options)
    yield driver
    driver.quit()


@pytest.mark.slow
def test_the_page_in_a_browser(page, browser):
    from selenium.webdriver.common.keys import Keys

    def part(name):
        return browser.find_element("id", name)

    def boxes(kind):
        script = "return [...document.querySelectorAll('.' + arguments[0])].map(box => box.textContent)"
        return browser.execute_script(script, kind)

    def until(condition, what):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, f"{what}; the page shows {browser.find_element('tag name', 'body').text!r}"
            time.sleep(0.02)

    address, talk = page
    browser.get(address)
    part("text").send_keys("first question", Keys.ENTER)
    until(lambda: boxes("assistant") and boxes("assistant")[0], "an answer begins")
    early = boxes("assistant")[0]
    until(lambda: len(boxes("assistant")[0]) > len(early), "it grows while the model still answers")
    assert part("stop").is_enabled() and not part("send").is_enabled()
    part("stop").click()
    until(lambda: part("send").is_enabled(), "the stop button ends it")
    until(lambda: not messages(address)["busy"], "the server knows")
    assert len(talk.messages[-1]["content"]) < 95, "stopped before its 100 tokens"

    part("text").send_keys("second <b>question</b>", Keys.ENTER)
    until(lambda: part("send").is_enabled() and len(boxes("assistant")) == 2, "a second turn")
    assert boxes("user") == ["first question", "second <b>question</b>"], "text is shown as text"
    until(lambda: len(messages(address)["messages"]) == 4, "both turns are kept")
    if "SHOTS" in os.environ:
        browser.save_screenshot(os.path.join(os.environ["SHOTS"], "chat.png"))

    browser.refresh()
    until(lambda: len(boxes("assistant")) == 2, "a refresh shows what was said")
    assert boxes("user") == ["first question", "second <b>question</b>"]
    part("text").send_keys("third", Keys.ENTER)
    until(lambda: len(boxes("assistant")) == 3 and boxes("assistant")[2], "a third answer begins")
    browser.refresh()
    until(lambda: len(boxes("assistant")) == 3 and part("send").is_enabled(), "a refresh amid an answer ends it")

    part("text").send_keys("x" * 300, Keys.ENTER)
    until(lambda: "fit beside an answer" in part("error").text, "a message that is too long is refused in words")
    part("forget").click()
    until(lambda: not boxes("user") and not messages(address)["messages"], "a new conversation is empty")
    until(lambda: not [line for line in browser.get_log("browser") if "400" not in line["message"]], "no errors")
