"""What the milestones about language share: settings and models of a run come back from its folder, errors are told."""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import load_checkpoint, save_weights
from tinytorch.datasets import TokenDataset
from tinytorch.optim import SGD
from tinytorch.runs import new_run, read_config
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer

sys.path.append(str(Path(__file__).parents[2] / "milestones" / "05_2017_transformer"))  # as for the scripts

import language  # noqa: E402

CONFIG = nn.GPTConfig(vocab_size=4, context=8, d_model=8, num_heads=2, tied_head=False)
SETTINGS = {"size": "one", "seed": 0, "broken": None, "text": None, "text_sha256": "0" * 16}


class Size:
    model = {"d_model": 8}


SIZES = {"one": Size, "quick": Size}


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="milestone.py")
    parser.add_argument("--size", choices=SIZES)
    language.add_run_arguments(parser, ["blind"], "less")
    language.add_text_arguments(parser)
    return parser


@pytest.fixture
def run(tmp_path, parser):
    "The folder of a run, with an untrained model."
    args = parser.parse_args(["--runs", str(tmp_path)])
    folder = language.start_run(args, "letters", SETTINGS, CharTokenizer("abcd"), CONFIG)
    tinytorch.manual_seed(0)
    save_weights(folder / "model.safetensors", language.build_model(CONFIG))
    return folder


def settings_of(parser, *arguments):
    return language.settings_of(parser.parse_args(list(map(str, arguments))), parser, "letters", SIZES)


def test_a_new_run_has_the_settings_of_the_command_line(parser, tmp_path):
    settings, folder = settings_of(parser, "--seed", 3, "--broken", "blind", "--runs", tmp_path)
    assert folder is None and settings == {"size": "one", "seed": 3, "broken": "blind", "text": None}
    assert settings_of(parser, "--quick")[0]["size"] == "quick"


def test_a_run_is_found_again_with_its_settings_and_its_model(parser, run):
    for arguments in (("--resume", run), ("--sample", "ab", "--runs", run.parent), ("--resume", run, "--sample", "")):
        settings, folder = settings_of(parser, *arguments)
        assert folder == run and settings == SETTINGS | {"model": read_config(run)["model"]}
    model, tokenizer = language.load_model(folder, settings)
    assert model.config == CONFIG and tokenizer.vocab_size == 4
    tinytorch.manual_seed(0)
    for ours, theirs in zip(model.parameters(), language.build_model(CONFIG).parameters()):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_the_newest_run_is_the_one_that_has_a_model(parser, run):
    new_run(run.parent, "letters", SETTINGS)
    assert settings_of(parser, "--sample", "a", "--runs", run.parent)[1] == run


@pytest.mark.parametrize("changed", [
    {"size": "another"}, {"model": {"layers": 1, "width": 8}}, {"model": {"d_model": 8, "vocab_size": 4}}, None])
def test_a_run_of_another_script_or_version_is_refused(changed, parser, run, capsys):
    config = changed and {"config": read_config(run) | changed}
    (run / "config.json").write_text(json.dumps(config or {"config": {"seed": 0}}))
    with pytest.raises(SystemExit, match="2"):
        settings_of(parser, "--resume", run)
    assert "expected a run folder of this script" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("part", [False, True])
def test_checkpoints_carry_the_options_of_their_model(part, run):
    folder = language.start_part(run, "phase-1", SETTINGS, CONFIG) if part else run
    model = language.build_model(nn.GPTConfig(**read_config(folder)["model"]))
    batch = TokenDataset(np.arange(40) % 4, CONFIG.context).batch(np.arange(2))
    trainer = Trainer(model, [batch], language.loss_of, SGD(model.parameters(), lr=0.1), steps=1, folder=folder,
                      show=False)
    trainer.fit()
    saved = load_checkpoint(folder / "last.safetensors", model, trainer.optimizer, trainer=trainer)
    assert nn.GPTConfig(**saved["model"]) == CONFIG


def test_a_loss_that_is_not_finite_is_one_line_with_the_place_of_the_checkpoint(parser, capsys):
    error = FloatingPointError("the loss is nan")
    error.add_note("the last checkpoint is in runs/letters-001")
    with pytest.raises(SystemExit, match="2"), language.stoppable(parser, Path("runs")):
        raise error
    said = capsys.readouterr().err
    assert said == "milestone.py: the loss is nan; the last checkpoint is in runs/letters-001\n"


def test_an_error_of_the_code_itself_keeps_its_traceback(parser):
    for kind in (ValueError, IndexError, NotImplementedError):
        with pytest.raises(kind), language.stoppable(parser, Path("runs")):
            raise kind("in an operation")


def test_criteria_are_met_at_their_bar_or_below_it():
    assert language.at_least("a", 0.5, 0.5).passed and not language.at_least("a", 0.4, 0.5).passed
    assert language.at_most("a", 0.5, 0.5).passed and not language.at_most("a", 0.6, 0.5).passed
    assert not language.below("a", 0.5, 0.5).passed and language.below("a", 0.4, 0.5).passed
    for judged in (language.at_least, language.at_most, language.below):
        assert not judged("a", float("nan"), 0.5).passed
