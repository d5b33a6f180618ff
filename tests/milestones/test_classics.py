"""The milestones of 1958 to 1998: what they have to show, on held-out examples; and what is broken fails."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
from tinytorch.runs import read_metrics

MILESTONES = Path(__file__).parents[2] / "milestones"
SCRIPTS = {"perceptron": "01_1958_perceptron", "xor": "02_1969_xor", "mlp": "03_1986_mlp", "cnn": "04_1998_cnn"}


def path_of(name):
    return MILESTONES / SCRIPTS[name] / f"{name}.py"


def load(name):
    spec = importlib.util.spec_from_file_location(name, path_of(name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


perceptron, xor, mlp, cnn = map(load, SCRIPTS)
image_sets = sys.modules["image_sets"]
digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None,
                            reason="the digits need the extra: pip install -e '.[vision]'")


@pytest.fixture
def main(monkeypatch, tmp_path, capsys):
    "main(module, *arguments) -> (exit status, the run's results.json, its status, what was printed)"
    def call(module, *arguments):
        runs = tmp_path / f"runs-{len(list(tmp_path.iterdir()))}"
        monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", "--runs", str(runs), *arguments])
        code = module.main()
        folder, = runs.iterdir()
        results, status = (json.loads((folder / f"{name}.json").read_text()) for name in ("results", "status"))
        assert (folder / "report.html").stat().st_size > 1000
        return code, results, status["status"], capsys.readouterr().out
    return call


def got(results, name):
    found, = [criterion for criterion in results["criteria"] if criterion["name"].startswith(name)]
    return found["got"]


# ---- 1958


@pytest.mark.parametrize("seed", range(3))
def test_the_perceptron_learns_cards_and_clouds_but_not_xor(main, seed):
    code, results, status, out = main(perceptron, "--seed", str(seed))
    assert code == 0 and status == "learned" and "LEARNED: every criterion is met." in out, out
    assert all(criterion["passed"] for criterion in results["criteria"]) and len(results["criteria"]) == 5
    assert got(results, "held-out points of XOR") < 0.8 and results["numbers"]["XOR, mistakes in the last pass"] > 20
    assert results["numbers"]["mistakes on the points"] <= results["numbers"]["of which there can be (Novikoff)"]


@pytest.mark.parametrize("broken, failed", [("labels", "held-out cards right"), ("xor", "held-out points right")])
def test_a_broken_perceptron_fails(main, broken, failed):
    code, results, status, out = main(perceptron, "--broken", broken)
    assert code == 1 and status == "not learned" and "NOT LEARNED" in out and failed in out.splitlines()[-1]


def test_rule_and_gradient_make_the_same_mistakes():
    generator = tinytorch.manual_seed(1)
    examples, begin = perceptron.xor(50, generator), perceptron.first_weights(2)
    rule, gradient = perceptron.rosenblatt(*examples, *begin), perceptron.by_gradient(*examples, *begin)
    assert rule[2] == gradient[2] and len(rule[2]) == perceptron.EPOCHS
    np.testing.assert_allclose(rule[0], gradient[0], atol=1e-3)


def test_no_card_is_on_both_sides():
    images, sides = perceptron.cards(300, np.random.default_rng(0))
    halves = images.reshape(300, 20, 2, 10).sum((1, 3))
    np.testing.assert_array_equal(halves[:, 0] > 0, sides < 0)
    np.testing.assert_array_equal(halves.sum(1), np.full(300, perceptron.MARK**2))


# ---- 1969


def test_xor_is_solved_from_every_start(main):
    code, results, status, out = main(xor, "--seeds", "25", "--seed", "1000")
    assert code == 0 and status == "learned" and got(results, "starts solve it") == 1.0, out
    assert results["numbers"]["starts that two hidden neurons solve"] < 0.9, "two are too few for most starts"


def test_a_linear_model_cannot(main):
    code, results, status, out = main(xor, "--seeds", "4", "--broken", "linear")
    assert code == 1 and status == "not learned" and got(results, "starts solve it") == 0
    assert results["numbers"]["worst start, held out right"] < 0.8
    assert "NOT LEARNED: starts solve it" in out


# ---- 1986 and 1998, on the digits


@digits
def test_the_mlp_reads_97_of_100_digits(main):
    code, results, status, out = main(mlp, "--seed", "11")
    assert code == 0 and status == "learned" and got(results, "held-out images right") >= 0.97, out
    assert results["numbers"]["held-out images"] == 360 and results["numbers"]["training images"] == 1437


@digits
def test_the_cnn_is_wrong_on_5_of_360_digits_at_most(main):
    code, results, status, out = main(cnn, "--seed", "11")
    assert code == 0 and status == "learned" and got(results, "held-out images right") >= 0.985, out


@digits
@pytest.mark.parametrize("module, wanted", [(mlp, 0.97), (cnn, 0.985)])
def test_shuffled_labels_and_linear_models_fail(main, module, wanted):
    code, results, status, out = main(module, "--broken", "labels", "--epochs", "4")
    assert code == 1 and status == "not learned" and got(results, "held-out images right") < 0.4, out
    assert results["broken"] == "labels" and not results["learned"]
    code, results, status, out = main(module, "--broken", "linear", "--epochs", "60")
    assert code == 1 and 0.6 < got(results, "held-out images right") < wanted, "a line for each digit is not enough"


@digits
def test_a_run_leaves_its_pictures_and_its_losses(tmp_path):
    done = subprocess.run([sys.executable, str(path_of("cnn")), "--epochs", "1"], cwd=tmp_path, capture_output=True,
                          text=True)
    folder = tmp_path / "runs" / "cnn-001"
    assert done.returncode in (0, 1) and "LEARNED" in done.stdout, done.stdout + done.stderr
    for name in ("filters.png", "mistakes.png", "loss.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    assert len(read_metrics(folder)) == 23
    assert json.loads((folder / "config.json").read_text())["config"]["seed"] == 0


@pytest.mark.parametrize("module, data", [(mlp, "mnist"), (cnn, "mnist"), (cnn, "cifar10")])
def test_larger_images_go_the_same_way(main, monkeypatch, module, data):
    "made up here, in the shapes of MNIST and CIFAR-10: ten patterns with noise"
    generator = np.random.default_rng(0)
    shape = (1, 28, 28) if data == "mnist" else (3, 32, 32)
    patterns, labels = generator.random((10, *shape)), generator.integers(0, 10, 160)
    images = (0.7 * patterns[labels] + 0.3 * generator.random((160, *shape))).astype(np.float32)
    pairs = (images[:120], labels[:120]), (images[120:], labels[120:])
    made = image_sets.Images(*pairs, tuple("0123456789"), "the test")
    monkeypatch.setattr(sys.modules["classics"], "load_images", lambda name, seed: made)
    code, results, _, out = main(module, "--data", data, "--epochs", "2")
    assert code in (0, 1) and 0 <= got(results, "held-out images right") <= 1
    assert f"120 images of {shape[1]} x {shape[2]} from the test, 40 held out" in out


def test_the_page_of_mistakes_begins_with_the_surest_and_goes_on_with_the_least_sure():
    from classics import worth_a_look  # the scripts have put its folder on the path

    scores = np.log([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.95, 0.05]])
    order, shares = worth_a_look(scores, np.array([0, 1, 1, 0, 0]))
    assert order.tolist() == [1, 3, 0, 2, 4] and np.allclose(shares, [0.6, 0.9, 0.8, 0.7, 0.95])
    order, _ = worth_a_look(scores, scores.argmax(1))
    assert order.tolist() == [0, 3, 2, 1, 4], "without a mistake, those that it was least sure of"


def test_batch_norm_is_in_the_cnn_and_its_answers_do_not_depend_on_the_batch():
    tinytorch.manual_seed(0)
    model = cnn.build((1, 8, 8), 10, (4, 6, 8)).eval()
    images = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    together = model(tinytorch.Tensor(images)).data
    alone = [model(tinytorch.Tensor(images[i:i + 1])).data[0] for i in range(5)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 3


# ---- what they are told


@pytest.mark.parametrize("name, arguments", [
    ("perceptron", ["--seed", "-1"]), ("perceptron", ["--broken", "x"]), ("xor", ["--seeds", "0"]),
    ("mlp", ["--epochs", "0"]), ("cnn", ["--data", "imagenet"])])
def test_bad_arguments_are_refused(name, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--runs", str(tmp_path / "runs"), *arguments])
    with pytest.raises(SystemExit) as raised:
        globals()[name].main()
    said = capsys.readouterr().err
    assert raised.value.code == 2 and ("expected" in said or "invalid choice" in said)
    assert not list(tmp_path.iterdir())


def test_without_network_mnist_says_which_file_to_put_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    for name, source in list(image_sets.IMAGE_SOURCES.items()):
        monkeypatch.setitem(image_sets.IMAGE_SOURCES, name, source._replace(url="http://127.0.0.1:9/none"))
    monkeypatch.setattr(sys, "argv", ["cnn.py", "--data", "mnist", "--runs", str(tmp_path / "runs")])
    with pytest.raises(SystemExit) as raised:
        cnn.main()
    assert raised.value.code == 2 and not (tmp_path / "runs").exists()
    assert "train-images-idx3-ubyte.gz into a folder, and set TINYTORCH_DATA" in capsys.readouterr().err
