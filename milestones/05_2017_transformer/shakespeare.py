"""2017, the transformer: learn to write like Shakespeare, one character after the other.

    python milestones/05_2017_transformer/shakespeare.py [--size nanogpt] [--seed 0] [--quick] [--resume RUN]

    base     4 layers, 8 heads, width 128, context 64, RMSNorm, squared ReLU; 5,000 steps of 32 windows; it ends at
             about 1.52, and 55 % of the characters are the one that it finds likeliest (not 70 %)
    nanogpt  nanoGPT's model for a CPU: 4 heads, LayerNorm, GELU; 2,000 steps of 12 windows, at twice its learning rate

The last tenth of the text is held out. What counts is the loss there, the mean of -log p of each character behind
the 1 to 64 before it in its window: at most 1.55 for base, 1.90 for nanogpt; with --quick (a smaller model) or
another text (--text FILE) 0.1 below that of counted pairs of characters (ngrams.py). The same loss, measured while
characters come one by one, must agree: it shows that the model does not look ahead. The exit status is 0 only if both
hold. Everything is in the run folder, and on one page in its report.html. Afterwards, or while it still learns:

    python milestones/05_2017_transformer/shakespeare.py --sample "ROMEO:" [--temperature 0.8] [--top-p 0.95]

On several processes, which share each batch, and go on by themselves when one of them is killed (the second line
starts them without that):

    python milestones/05_2017_transformer/shakespeare.py --ranks 4 --elastic
    mpiexec -n 4 python -m mpi4py milestones/05_2017_transformer/shakespeare.py

--broken blind (attention sees the last character alone), peek (it sees those to come) or slow (a thousandth of the
learning rate) trains a model that cannot work: see what the same check says.
"""
import argparse
import sys
import time
from typing import NamedTuple

import numpy as np
from language import (
    ADVICE,
    Texts,
    add_rank_arguments,
    add_run_arguments,
    add_text_arguments,
    at_most,
    attention_maps,
    build_model,
    corpus_of,
    count_parameters,
    evaluation,
    finish,
    fit,
    let_rank_0_speak,
    looks_ahead,
    loss_of,
    measure,
    ranked,
    refusing_input,
    sample,
    settings_of,
    start_ranks,
    start_run,
    stoppable,
    verdict_on,
    written,
)
from ngrams import NGrams, largest_order

import tinytorch
import tinytorch.nn as nn
from tinytorch.checkpoint import write_whole
from tinytorch.datasets import RandomBatches
from tinytorch.optim import AdamW, LambdaLR, decay_groups, warmup_cosine
from tinytorch.tokenizers import CharTokenizer
from tinytorch.training import Trainer
from tito.report import plot_attention

# ---- knobs

NEEDS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14")  # the chapters at work
RANKS = True  # also on several processes, with the chapter 28 that is there


class Size(NamedTuple):
    "A model, how it learns, and the held-out loss that it must reach."
    model: dict  # options of nn.GPTConfig
    batch: int
    steps: int
    learning_rate: float
    last_rate: float  # where the cosine ends
    bar: float | None  # None: MARGIN below the pairs of characters

    def config(self, vocab_size):
        return nn.GPTConfig(vocab_size=vocab_size, bias=False, **self.model)


BASE = dict(context=64, d_model=128, num_layers=4, num_heads=8, norm="rms_norm", activation="relu_squared")
NANOGPT = dict(context=64, d_model=128, num_layers=4, num_heads=4, norm="layer_norm", activation="gelu")
SIZES = {
    "base": Size(BASE, 32, 5000, 1e-3, 0.0, 1.55),
    "nanogpt": Size(NANOGPT, 12, 2000, 2e-3, 1e-4, 1.90),  # at its own 1e-3: 1.91
    "quick": Size(BASE | dict(context=32, d_model=64, num_layers=2, num_heads=4), 32, 400, 3e-3, 0.0, None),
}
MARGIN = 0.1
WARMUP_STEPS, MAX_NORM, BETAS, WEIGHT_DECAY = 100, 1.0, (0.9, 0.99), 0.1  # as nanoGPT
SAVE_EVERY, EVALUATE_EVERY, EVALUATED_WINDOWS = 100, 250, 128
ORDERS = 5  # n-grams of 1 to 5 characters, to compare with
AGREEMENT = 1e-3  # between the loss of whole windows, and of characters one by one
PROMPTS, SAMPLE_LENGTH = ("\n", "ROMEO:", "Once upon a time", "To be, or not to be"), 300
SAMPLING = {"temperature": 0.8, "top_p": 0.95}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", choices=["base", "nanogpt"], help="which settings (default base)")
add_run_arguments(parser, ["blind", "peek", "slow"], "a smaller model and a lower bar")
add_rank_arguments(parser)
add_text_arguments(parser, length=SAMPLE_LENGTH, **SAMPLING)


# ---- learning

def read_texts(settings):
    corpus = corpus_of(settings, "tinyshakespeare")
    tokenizer = CharTokenizer.train(corpus.train + corpus.held_out)  # also characters of the end alone
    return Texts(corpus, tokenizer, SIZES[settings["size"]].model["context"])


def make_trainer(settings, texts, folder=None, show=False):
    "Return a Trainer with model, batches and optimizer, all from the seed."
    size = SIZES[settings["size"]]
    tinytorch.manual_seed(settings["seed"])
    model = build_model(size.config(texts.tokenizer.vocab_size), settings["broken"])
    rate = size.learning_rate * (1e-3 if settings["broken"] == "slow" else 1)
    optimizer = AdamW(decay_groups(model, WEIGHT_DECAY), lr=rate, betas=BETAS)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP_STEPS, size.steps, size.last_rate / size.learning_rate))
    return ranked(Trainer)(
        model, RandomBatches(texts.windows, size.batch, size.steps), loss_of, optimizer, steps=size.steps,
        schedule=schedule, max_norm=MAX_NORM, folder=folder, save_every=SAVE_EVERY, show=show,
        evaluate=evaluation(model, texts.held_out_windows, folder, EVALUATED_WINDOWS), evaluate_every=EVALUATE_EVERY)


# ---- a run

def write_samples(model, tokenizer, generator):
    "Return (text that the model writes behind PROMPTS, as far as it knows their characters; characters a second)."
    how, texts, start = ", ".join(f"{name} {value}" for name, value in SAMPLING.items()), [], time.perf_counter()
    for prompt in PROMPTS:
        known = "".join(c for c in prompt if c in tokenizer.ids) or tokenizer.tokens[0]
        text = written(model, tokenizer, known, SAMPLE_LENGTH, generator=generator, **SAMPLING)
        texts.append(f"---- behind {prompt!r}, {how}\n{text}\n")
    return "\n".join(texts), len(PROMPTS) * SAMPLE_LENGTH / (time.perf_counter() - start)


def run(settings, folder, texts):
    "Train, measure, look; return the exit status."
    size, tokenizer, seed = SIZES[settings["size"]], texts.tokenizer, settings["seed"]
    trainer = make_trainer(settings, texts, folder, show=True)
    model = trainer.model
    print(f"{settings['size']}: {count_parameters(model):,} parameters, seed {seed}; {len(texts.train):,} characters "
          f"to learn from and {len(texts.held_out):,} held out, {tokenizer.vocab_size} different\n"
          f"to go on after an interruption: --resume {folder}", flush=True)
    order = min(ORDERS, largest_order(tokenizer.vocab_size))
    counts = NGrams(texts.train, order, tokenizer.vocab_size).report_losses(texts.held_out)
    fit(trainer)

    loss, accuracy = measure(model, texts.held_out_windows)
    samples, speed = write_samples(model, tokenizer, np.random.default_rng(seed))
    print(f"\n{samples}")
    write_whole(folder / "samples.txt", samples.encode())
    looked_at = texts.held_out[:min(model.context, 40)]
    plot_attention(attention_maps(model, looked_at), list(tokenizer.decode(looked_at)), folder / "attention.png")

    bar = counts[1] - MARGIN if size.bar is None or settings["text"] else size.bar
    criteria = [at_most("held-out loss", loss, bar),
                at_most("held-out loss, characters one by one: difference",
                        looks_ahead(model, texts.held_out_windows), AGREEMENT)]
    numbers = {
        "parameters": count_parameters(model),
        "held-out loss, nats a character": loss,
        "held-out next-character accuracy": f"{accuracy:.1%}",
        "pairs of characters, counted, held out": counts[1],
        f"best n-gram, held out ({int(np.argmin(counts)) + 1}-gram)": min(counts),
        "best held-out loss while it learned (128 windows)": trainer.best["value"],
        "at step": trainer.best["step"],
        "steps": trainer.step,
        "minutes of training": trainer.seconds / 60,
        "milliseconds a step, with evaluating and saving": 1000 * trainer.seconds / trainer.step,
        "characters written a second (KV cache)": round(speed),
    }
    return finish(folder, criteria, numbers, trainer.seconds, ADVICE, **verdict_on(settings))


def main():
    args = parser.parse_args()
    if args.ranks != 1 or args.elastic:
        return start_ranks(args, parser)
    let_rank_0_speak()
    settings, folder = settings_of(args, parser, "shakespeare", SIZES)
    with refusing_input(parser):
        if args.sample is not None:
            return sample(args, settings, folder)
        texts = read_texts(settings)
        if folder is None:
            config = SIZES[settings["size"]].config(texts.tokenizer.vocab_size)
            folder = start_run(args, "shakespeare", settings, texts.tokenizer, config)
    with stoppable(parser, folder):
        return run(settings, folder, texts)


if __name__ == "__main__":
    sys.exit(main())
