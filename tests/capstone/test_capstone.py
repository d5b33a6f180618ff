"""A submission that is what it says is accepted; forged ones are not, whatever their report claims."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.capstone import overlap
from tito.capstone.recipe import REFERENCES, Limits, checked, own_bytes, reference
from tito.capstone.run import MEASURED, as_json, digest, page, record_of, run, work
from tito.capstone.verify import Refused, board, read_records, save_record, verify
from tito.project import TitoError

RECIPE = checked({"name": "ann", "d_model": 16, "num_layers": 1, "steps": 40, "bits": 8, "context": 32})
WORDS = ("time year people way day man thing woman life child world school state family student group country problem "
         "hand part place case week company system program question work number night point home water").split()


def prose(count, seed):
    "sentences of random words"
    import numpy as np
    generator = np.random.default_rng(seed)
    return " ".join(" ".join(generator.choice(WORDS, 9)) + "." for _ in range(count)).encode()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    "(the folder, the text, the held-out text)"
    folder = tmp_path_factory.mktemp("texts")
    text, held = folder / "text.txt", folder / "held.txt"
    text.write_bytes(prose(400, 0))
    held.write_bytes(prose(60, 1))
    return folder, text, held


@pytest.fixture(scope="module")
def honest(texts, tmp_path_factory):
    "a submission that is what it says"
    folder = tmp_path_factory.mktemp("honest") / "ann"
    run(RECIPE, texts[1], texts[2], folder)
    return folder


@pytest.fixture
def copy(honest, tmp_path):
    return Path(shutil.copytree(honest, tmp_path / "ann"))


def changed(folder, **claims):
    "the report with other numbers"
    path = folder / "report.json"
    path.write_bytes(as_json(json.loads(path.read_text()) | claims))


def resealed(folder):
    "the report with the digests of what is in the folder now, as a forger would write them"
    changed(folder, recipe_sha256=digest((folder / "recipe.json").read_bytes()), text_sha256=digest(
        (folder / "text.txt").read_bytes()), model_sha256=digest((folder / "model.safetensors").read_bytes()))


def test_an_honest_submission_is_accepted(honest, texts, tmp_path):
    record = verify(honest, texts[2])
    report = json.loads((honest / "report.json").read_text())
    assert record["name"] == "ann" and record["loss"] == report["loss"], "the same machine makes the same model"
    assert 0 < record["loss"] < 5.6 and record["memory_mb"] > 10 and record["tokens_per_second"] > 10
    save_record(tmp_path, record)
    save_record(tmp_path, record | {"name": "bob", "loss": 2.0, "model_sha256": "b" * 64})
    rows = board(tmp_path).splitlines()
    assert [row.split(" | ")[1] for row in rows[2:]] == ["bob", "ann"], "the lowest loss first"


def test_the_report_is_a_page_with_a_picture(copy, texts):
    report = json.loads((copy / "report.json").read_text())
    records = [report | {"name": "reference: tiny", "loss": 3.0, "cpu_seconds": 9.0}]
    assert page(copy, RECIPE, report, records, Limits()).read_text().count("at most") == 2
    assert (copy / "frontier.png").stat().st_size > 5000


def edited_loss(folder, texts): changed(folder, loss=1.0)
def edited_speed(folder, texts): changed(folder, tokens_per_second=1e6)
def edited_memory(folder, texts): changed(folder, memory_mb=1.0)
def edited_size(folder, texts): changed(folder, model_bytes=100)


def patched_clock(folder, texts):
    "a run whose clock stood still, by a sitecustomize.py that lies in the submission, too"
    (folder / "sitecustomize.py").write_text("import time\ntime.process_time = time.perf_counter = lambda: 0.0\n")
    changed(folder, cpu_seconds=0.0, tokens_per_second=1e9)


def swapped_model(folder, texts):
    "a model that was trained for longer than the recipe says"
    longer = RECIPE | {"steps": 200}
    work("make", longer, Limits(), text=texts[1], model=folder / "model.safetensors")
    found = work("measure", longer, Limits(), held_out=texts[2], model=folder / "model.safetensors")
    changed(folder, loss=found["loss"])
    resealed(folder)


def trained_on_the_held_out_text(folder, texts):
    shutil.rmtree(folder)
    run(RECIPE, texts[2], texts[2], folder)


def trained_on_its_words(folder, texts):
    "the held-out text among others, in capitals, its stops and spaces changed, and a word in ten replaced"
    words = texts[2].read_text().replace(".", " ;").split()
    words[::10] = ["other"] * len(words[::10])
    mixed = folder.parent / "mixed.txt"
    mixed.write_bytes(prose(30, 5) + b"\n" + "  ".join(words).upper().encode())
    shutil.rmtree(folder)
    run(RECIPE, mixed, texts[2], folder)


def hard_coded_answer(folder, texts):
    "code in the place of a model: the worker would have to run it"
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "answer.py").write_text("def loss(text): return 0.0\n")
    (folder / "recipe.json").write_bytes(as_json(recipe | {"model": "answer:loss"}))
    changed(folder, loss=0.0)
    resealed(folder)


def pickled_model(folder, texts):
    import pickle

    class Answer:
        def __reduce__(self):
            return os.system, ("touch " + str(folder / "it_ran"),)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Answer()))
    changed(folder, model_bytes=len((folder / "model.safetensors").read_bytes()))
    resealed(folder)


def another_recipe(folder, texts):
    "that of a larger budget, which the report was not written for"
    (folder / "recipe.json").write_bytes(as_json(RECIPE | {"steps": 41}))


def a_link_to_the_model_of_another(folder, texts):
    model = folder / "model.safetensors"
    model.rename(folder.parent / "elsewhere")
    model.symlink_to(folder.parent / "elsewhere")


def over_the_budget(folder, texts):
    (folder / "recipe.json").write_bytes(as_json(RECIPE | {"steps": 1_000_000}))
    resealed(folder)


def a_name_for_two(folder, texts):
    (folder / "recipe.json").write_bytes(as_json(RECIPE | {"name": "ann\n| 1 | eve"}))
    resealed(folder)


FORGED = {edited_loss: "claims a loss of 1.0", edited_speed: "claims bytes written a CPU second",
          edited_memory: "claims memory", edited_size: "claims a model of 100 bytes", patched_clock: "claims",
          swapped_model: "not what the recipe makes", trained_on_the_held_out_text: "the text is the held-out text",
          trained_on_its_words: "runs of 8 words", hard_coded_answer: "unknown entry 'model'", pickled_model: "refused",
          another_recipe: "recipe is another one", a_link_to_the_model_of_another: "not a link",
          over_the_budget: "budget of 1 CPU seconds", a_name_for_two: "printable"}


@pytest.mark.parametrize("forge, says", FORGED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_forged_submission_is_refused(forge, says, copy, texts):
    forge(copy, texts)
    limits = Limits(seconds=1) if forge is over_the_budget else Limits()
    with pytest.raises(Refused, match=says):
        verify(copy, texts[2], limits)
    assert not (copy / "it_ran").exists()


@pytest.mark.parametrize("name", ["recipe.json", "report.json", "text.txt", "model.safetensors"])
def test_what_is_missing_or_broken_is_named(name, copy, texts):
    (copy / name).unlink()
    with pytest.raises(Refused, match=name):
        verify(copy, texts[2])
    (copy / name).write_text("{")
    with pytest.raises(Refused):
        verify(copy, texts[2])


def test_two_texts_of_one_language_overlap_little_and_a_part_of_one_much(texts):
    text, held = texts[1].read_text(), texts[2].read_text()
    assert overlap(text, held) < 0.01 and overlap(text + held, held) == 1.0
    assert 0.4 < overlap(text + held[: len(held) // 2], held) < 0.6 and overlap(text, "") == 0


@pytest.mark.parametrize("given, says", [
    ({}, "name"), ({"name": "a"}, "steps"), ({"name": "a", "steps": 1.5}, "whole number"), ([], "object"),
    ({"name": "a", "steps": True}, "steps"), ({"name": "", "steps": 1}, "name"),
    ({"name": "a", "steps": 1, "d_model": 9, "num_layers": 1, "num_heads": 2}, "no multiple"),
    ({"name": "a", "steps": 1, "bits": 3}, "one of 32, 8, 4"), ({"name": "a", "code": 1}, "unknown entry 'code'"),
    ({"name": "a", "steps": 1, "learning_rate": 1e9}, "from"), (RECIPE | {"activation": ["gelu"]}, "activation"),
])
def test_recipes_are_data_in_known_ranges(given, says):
    with pytest.raises(TitoError, match=says):
        checked(given)


@pytest.mark.parametrize("name", REFERENCES)
def test_references_are_recipes_of_a_name_and_a_seed(name):
    assert reference(name)["name"] == name and reference(name)["seed"] == 0
    assert reference(name, 2)["name"] == f"{name}, seed 2" and reference(name, 2)["seed"] == 2
    assert reference(name, 2) | {"name": name, "seed": 0} == reference(name)


def test_a_reference_is_recorded_as_a_verified_submission_is(honest, texts, tmp_path):
    made, verified = record_of(RECIPE, texts[1], texts[2]), verify(honest, texts[2])
    same = ("name", "recipe", "loss", "model_bytes", "held_out_sha256")  # the order of a file's metadata is free
    assert [made[key] for key in same] == [verified[key] for key in same]
    save_record(tmp_path, made)
    assert read_records(tmp_path) == [made]


def test_what_does_not_fit_leaves_nothing(texts, tmp_path):
    large = RECIPE | {"d_model": 64}
    for recipe, limits, says in ((large, Limits(model_bytes=1000), "at most 1,000"), (
            RECIPE | {"steps": 100_000}, Limits(seconds=1), "CPU seconds"), (RECIPE | {"context": 2048}, Limits(
            text_bytes=100_000), "too few")):
        with pytest.raises(TitoError, match=says):
            run(recipe, texts[1], texts[2], tmp_path / "new", limits)
        assert not (tmp_path / "new").exists()
    with pytest.raises(TitoError, match="there already"):
        run(RECIPE, texts[1], texts[2], tmp_path)


def test_files_are_read_up_to_a_limit_and_never_through_links(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert own_bytes(tmp_path / "file", 5) == b"12345"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name, most, says in (("file", 4, "larger"), ("pipe", 9, "not a link"), ("link", 9, "not a link"),
                             ("none", 9, "No such file"), (".", 9, "a folder")):
        with pytest.raises(TitoError, match=says):
            own_bytes(tmp_path / name, most)


def test_records_of_other_texts_are_no_competition(tmp_path):
    record = {key: 1.0 for key in MEASURED} | {"name": "a", "held_out_sha256": "1"}
    for i, held in enumerate(("1", "2")):
        save_record(tmp_path, record | {"held_out_sha256": held, "model_sha256": str(i) * 64})
    with pytest.raises(TitoError, match="different held-out texts"):
        board(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(TitoError, match="bad.json"):
        read_records(tmp_path)
    with pytest.raises(TitoError, match="no records"):
        board(tmp_path / "none")


def tito(*arguments, folder):
    command = [sys.executable, "-m", "tito", "capstone", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_commands(texts, tmp_path):
    (tmp_path / "recipe.json").write_bytes(as_json(RECIPE))
    both = "--text", texts[1], "--held-out", texts[2]
    made = tito("run", "recipe.json", *both, "--to", "ann", folder=tmp_path)
    assert made.returncode == 0 and "held-out loss" in made.stdout, made.stderr
    accepted = tito("verify", "ann", "--held-out", texts[2], "--records", "records", folder=tmp_path)
    assert accepted.returncode == 0 and "ACCEPTED" in accepted.stdout, accepted.stdout + accepted.stderr
    shown = tito("board", "records", "--to", "board.md", folder=tmp_path)
    assert "| 1 | ann |" in shown.stdout and (tmp_path / "board.md").read_text() == shown.stdout
    edited_loss(tmp_path / "ann", texts)
    refused = tito("verify", "ann", "--held-out", texts[2], folder=tmp_path)
    assert refused.returncode == 1 and refused.stdout.startswith("REFUSED: claims a loss"), refused.stdout
    missing = tito("run", "none.json", *both, "--to", "b", folder=tmp_path)
    assert missing.returncode == 2 and "none.json" in missing.stderr and not (tmp_path / "b").exists()
