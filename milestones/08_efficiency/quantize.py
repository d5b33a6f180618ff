"""2018, quantization: a trained model keeps its loss with weights of 8 bits, and nearly so with 4.

    python milestones/08_efficiency/quantize.py [--size small] [--seed 0] [--quick] [--resume RUN]

From three seeds a small GPT learns Shakespeare, and another one TinyStories, character by character. Each is then
quantized, and measured on a tenth of the text that nobody learned from: with weights of 8 bits, with inputs of 8 bits
as well, with weights of 4 bits in groups of 32, and with 4 bits after a little more training through the rounding
(beside as much more training without). What counts: on every seed and both texts 8 bits may cost at most 1 % of
perplexity, and 4 bits after training through the rounding at most 3 % of that of the model that trained on in floats;
the files are at most 30 % and 20 % of the size. The exit status is 0 only if all this holds. How long reading and
writing take is measured beside it, and stated whatever it is. Everything is in the run folder, and on one page in its
report.html; the quantized model of the last seed is in `quantized.safetensors`.

--broken scales (one scale for all weights of the model) or signs (integers without a sign) cannot work: see what the
same check says.
"""
import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "05_2017_transformer"))  # language.py

from language import (
    HELD_OUT,
    Texts,
    add_run_arguments,
    at_most,
    build_model,
    corpus_of,
    count_parameters,
    evaluation,
    finish,
    fit,
    load,
    loss_of,
    measure,
    refusing_input,
    save_curves,
    settings_of,
    start_part,
    start_run,
    stoppable,
    verdict_on,
)

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import save_weights
from tinytorch.datasets import RandomBatches
from tinytorch.generation import generate
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.quantization import QuantizedLinear, prepare_qat, quantize, size_in_bytes
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "22")


class Size(NamedTuple):
    "A model, how long it learns, how long through the rounding, how many seeds do so, and what files may be left."
    model: dict  # options of nn.GPTConfig
    batch: int
    steps: int
    more_steps: int
    seeds: int
    file_8_bits: float  # of the size in floats; embeddings stay as they are, and weigh more in a small model
    file_4_bits: float


SMALL = dict(context=64, d_model=128, num_layers=3, num_heads=4, tied_head=False)
SIZES = {
    "small": Size(SMALL, 16, 500, 60, 3, 0.30, 0.20),  # 0.62 million parameters
    "quick": Size(SMALL | dict(context=32, d_model=64, num_layers=2), 16, 150, 30, 1, 0.35, 0.25),
}
RATE, MORE_RATE = 3e-3, 5e-4
WARMUP_STEPS, MAX_NORM, BETAS, WEIGHT_DECAY, LAST_RATE = 20, 1.0, (0.9, 0.99), 0.1, 0.1
SAVE_EVERY, EVALUATE_EVERY, EVALUATED_WINDOWS = 100, 100, 128
GROUP, MOST_8_BITS, MOST_4_BITS = 32, 0.01, 0.03
MEASURED_WINDOWS = 1024  # of the held-out text, at equal distances
WRITTEN = 100  # tokens, for tokens a second
ADVICE = ("Has each row of a weight its own scale, its largest magnitude over 127? Is rounding to the nearest, and "
          "clipped before the conversion to int8? Does the gradient go through the rounding as if it were not there?")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["small"], help="which settings (default small)")
add_run_arguments(parser, ["scales", "signs"], "a smaller model, one seed")
parser.set_defaults(sample=None, text=None)


# ---- learning

def read_texts(settings):
    "Return {name: Texts}, each with a tokenizer of its own characters."
    corpora = {"tinyshakespeare": corpus_of(settings, "tinyshakespeare"), "tinystories": load("tinystories", HELD_OUT)}
    context = SIZES[settings["size"]].model["context"]
    return {name: Texts(corpus, CharTokenizer.train(corpus.train + corpus.held_out), context)
            for name, corpus in corpora.items()}


def config_of(settings, tokenizer):
    return nn.GPTConfig(vocab_size=tokenizer.vocab_size, **SIZES[settings["size"]].model)


def learn(model, texts, folder, seed, batch, steps, rate):
    "Let `model` learn for `steps`, from the last checkpoint in `folder` where there is one; return its Trainer."
    optimizer = AdamW(decay_groups(model, WEIGHT_DECAY), lr=rate, betas=BETAS)
    batches = RandomBatches(texts.windows, batch, steps, generator=seed)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, steps, LAST_RATE))
    trainer = Trainer(model, batches, loss_of, optimizer, steps=steps, schedule=schedule, max_norm=MAX_NORM,
                      folder=folder, save_every=SAVE_EVERY, show=True, evaluate_every=EVALUATE_EVERY,
                      evaluate=evaluation(model, texts.held_out_windows, most=EVALUATED_WINDOWS))
    fit(trainer)
    return trainer


# ---- quantizing and measuring

def broken_as(kind, model):
    "Damage the layers of a quantized model as --broken says."
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    largest = max(float(abs(layer.weight.data).max()) for layer in layers)
    for layer in layers:
        if kind == "scales":
            layer.scales.data[...] = largest / 127
        elif kind == "signs":
            layer.integers.data[...] = abs(layer.integers.data)
    return model


def measured(model, texts, seed):
    "Return (held-out loss, bytes, tokens written a second) of a model."
    loss, _ = measure(model, texts.held_out_windows, MEASURED_WINDOWS)
    started = time.perf_counter()
    generate(model, texts.held_out[:8], WRITTEN, generator=np.random.default_rng(seed))
    return loss, size_in_bytes(model), WRITTEN / (time.perf_counter() - started)


def one_seed(name, texts, seed, settings, folder):
    "Learn a text from one seed, quantize in each way; return ({way: measured}, {curve: Trainer}, the 8-bit model)."
    size, config = SIZES[settings["size"]], config_of(settings, texts.tokenizer)

    def fresh():
        model = nn.GPT(config)
        model.load_state_dict(weights)
        return model

    def go_on(model, kind):
        part = start_part(folder, f"{name}-{seed}-{kind}", settings, config)
        return model, learn(model, texts, part, seed + 1000, size.batch, size.more_steps, MORE_RATE)

    print(f"\n{name}, seed {seed}", flush=True)
    tinytorch.manual_seed(seed)
    model = build_model(config)
    trainer = learn(model, texts, start_part(folder, f"{name}-{seed}", settings, config), seed, size.batch, size.steps,
                    RATE)
    weights = model.state_dict()
    eight = broken_as(settings["broken"], quantize(fresh()))
    further, beside = go_on(fresh(), "further")
    rounded, through = go_on(prepare_qat(fresh(), 4, GROUP), "through")
    ways = {"float32": model, "8 bits": eight, "8 bits, inputs too": quantize(fresh(), inputs="dynamic"),
            "4 bits": quantize(fresh(), 4, GROUP), "float32, trained on": further,
            "4 bits, trained on as such": quantize(rounded, 4, GROUP)}
    trainers = {f"{name}, seed {seed}": trainer, f"{name}, seed {seed}, on": beside,
                f"{name}, seed {seed}, through 4 bits": through}
    return {way: measured(model, texts, seed) for way, model in ways.items()}, trainers, eight


# ---- a run

def judge(size, found):
    "Return the criteria. found: {(text, seed): {way: (loss, bytes, tokens a second)}}."
    def dearer(way, than):
        return max(float(np.exp(ways[way][0] - ways[than][0]) - 1) for ways in found.values())

    def share(way):
        return max(ways[way][1] / ways["float32"][1] for ways in found.values())

    return [at_most("of perplexity for 8 bits, the worst seed", dearer("8 bits", "float32"), MOST_8_BITS, True),
            at_most("of perplexity for 8 bits, inputs too", dearer("8 bits, inputs too", "float32"), MOST_8_BITS, True),
            at_most("of perplexity for 4 bits, trained on as such",
                    dearer("4 bits, trained on as such", "float32, trained on"), MOST_4_BITS, True),
            at_most("of the size for 8 bits", share("8 bits"), size.file_8_bits, True),
            at_most("of the size for 4 bits", share("4 bits"), size.file_4_bits, True)]


def run(settings, folder, texts):
    "Learn both texts from each seed, quantize, measure; return the exit status."
    size, found, trainers = SIZES[settings["size"]], {}, {}
    config = config_of(settings, texts["tinyshakespeare"].tokenizer)
    print(f"{settings['size']}: {count_parameters(build_model(config)):,} parameters; "
          f"to go on after an interruption: --resume {folder}", flush=True)
    for seed in range(settings["seed"], settings["seed"] + size.seeds):
        for name in texts:
            found[name, seed], curves, eight = one_seed(name, texts[name], seed, settings, folder)
            trainers |= curves
    save_weights(folder / "quantized.safetensors", eight)
    save_curves(folder, {name: trainer.history for name, trainer in trainers.items()}, ["held-out loss"])
    table = {way: {f"{name}, seed {seed}": loss_of_way[way][0] for (name, seed), loss_of_way in found.items()}
             | {"bytes": int(np.mean([ways[way][1] for ways in found.values()])),
                "tokens written a second": float(np.mean([ways[way][2] for ways in found.values()]))}
             for way in next(iter(found.values()))}
    criteria = judge(size, found)
    best = {"metric": "perplexity that 8 bits cost", "value": criteria[0].got}
    seconds = sum(trainer.seconds for trainer in trainers.values())
    return finish(folder, criteria, {"steps": size.steps, "steps more": size.more_steps}, seconds, ADVICE, best, table,
                  **verdict_on(settings))


def main():
    args = parser.parse_args()
    settings, folder = settings_of(args, parser, "quantize", SIZES, "quantized.safetensors")
    with refusing_input(parser):
        texts = read_texts(settings)
        if folder is None:
            tokenizer = texts["tinyshakespeare"].tokenizer
            folder = start_run(args, "quantize", settings, tokenizer, config_of(settings, tokenizer))
    with stoppable(parser, folder):
        return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
