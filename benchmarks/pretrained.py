"""`python -m benchmarks pretrained`: models of published sizes, here and in transformers on PyTorch eager.

Both read the same folder, with random weights, in a process of their own; a prompt of 512 tokens, then 64 new ones with
the cache, batch 1, float32. The fastest of the rounds counts, for a disturbance only ever makes one slower.
"""

import json
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.measure import ROOT
from benchmarks.worker import peak_megabytes

PROMPT, NEW, REPEATS = 512, 64, 3
GPT2 = dict(vocab_size=50257, context=1024, d_model=768, num_layers=12, num_heads=12, norm_eps=1e-5)
SMOLLM2 = dict(vocab_size=49152, context=2048, d_model=576, num_layers=30, num_heads=9, num_kv_heads=3, mlp_hidden=1536,
               norm="rms_norm", activation="swiglu", positions="rotary", rotary_base=1e5, norm_eps=1e-5, bias=False)
MODELS = {"GPT-2 small, 124 M": GPT2, "SmolLM2, 135 M": SMOLLM2}
SIDES = {"ours": "tinytorch", "theirs": "transformers"}
HEAD = ("| | side | prompt tokens/s | ratio | generated tokens/s | ratio | load s | MB at the peak of loading, of the "
        "weights | MB at the peak |\n|---|---|---|---|---|---|---|---|---|")


def report(rounds: int) -> dict[str, dict]:
    """Measure all models, print a table, and return {model: {side: numbers}}."""
    print(f"\n## pretrained\n\n{HEAD}", flush=True)
    results = {}
    for name, options in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(options, folder)
            runs = {side: [] for side in SIDES}
            for _ in range(rounds):
                for side in SIDES:
                    runs[side].append(measured(side, folder))
        if any(run["ids"] != runs["theirs"][0]["ids"] for side in SIDES for run in runs[side]):
            raise SystemExit(f"{name}: the two sides write different tokens; a fast wrong model does not count")
        results[name] = {side: best(found) for side, found in runs.items()}
        for side in SIDES:
            print(row(name, side, results[name]), flush=True)
    return results


def write(options: dict, folder: str) -> None:
    """A model with random weights, in the layout that has its options."""
    from tinytorch import manual_seed, nn

    manual_seed(0)
    nn.GPT(nn.GPTConfig(**options)).save_pretrained(folder)


def measured(side: str, folder: str) -> dict:
    """What one process measured."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.pretrained", side, folder], cwd=ROOT, text=True,
                          capture_output=True)
    if done.returncode:
        raise SystemExit(f"{SIDES[side]}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def best(runs: list[dict]) -> dict:
    """The shortest times and smallest peaks of several runs."""
    return {key: min(run[key] for run in runs) for key in runs[0] if key != "ids"}


def row(name: str, side: str, result: dict[str, dict]) -> str:
    own, theirs = result[side], result["theirs"]
    cells = [name, SIDES[side]]
    for key, tokens in (("prompt", PROMPT), ("generate", NEW)):
        cells += [f"{tokens / own[key]:.1f}", f"{theirs[key] / own[key]:.2f}"]
    share = own["loaded"] / own["weights"]
    return f"| {' | '.join(cells)} | {own['load']:.1f} | {own['loaded']:.0f}, {share:.2f} times | {own['peak']:.0f} |"


# ---- in a process of its own

class Ours:
    def __init__(self, folder):
        from tinytorch.pretrained import from_pretrained

        self.model = from_pretrained(folder).eval()
        self.bytes = sum(parameter.data.nbytes for parameter in self.model.parameters())

    def read(self, ids):
        """The logits behind ids (1, T), and the cache of them."""
        from tinytorch import no_grad
        from tinytorch.generation import KVCache

        self.cache = KVCache(self.model)
        with no_grad():
            return self.model(ids, cache=self.cache, last_only=True).data[0, -1]

    def go_on(self, token):
        from tinytorch import no_grad

        with no_grad():
            return self.model(np.array([[token]]), cache=self.cache, last_only=True).data[0, -1]


class Theirs:
    def __init__(self, folder):
        import torch
        from transformers import AutoModelForCausalLM

        self.torch = torch
        read = {"dtype": torch.float32, "attn_implementation": "eager", "local_files_only": True}
        self.model = AutoModelForCausalLM.from_pretrained(folder, **read).eval()
        self.bytes = sum(parameter.nbytes for parameter in self.model.parameters())

    def step(self, ids, cache):
        with self.torch.inference_mode():
            out = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self.cache = out.past_key_values
        return out.logits[0, -1].numpy()

    def read(self, ids):
        return self.step(self.torch.tensor(ids), None)

    def go_on(self, token):
        return self.step(self.torch.tensor([[token]]), self.cache)


def main(side: str, folder: str) -> None:
    """Load, read and write; print what it took as JSON."""
    kind = {"ours": Ours, "theirs": Theirs}[side]
    if side == "ours":
        import tinytorch.pretrained  # noqa: F401  what is imported is not what is loaded
    else:
        import torch  # noqa: F401
        import transformers.models.gpt2.modeling_gpt2  # noqa: F401
        import transformers.models.llama.modeling_llama  # noqa: F401
    before, started = peak_megabytes(), time.perf_counter()
    model = kind(folder)
    load, loaded = time.perf_counter() - started, peak_megabytes() - before
    ids, prompts, writes = np.random.default_rng(0).integers(0, 49152, (1, PROMPT)), [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        logits = model.read(ids)
        prompts.append(time.perf_counter() - started)
        new, started = [], time.perf_counter()
        for _ in range(NEW):
            new.append(int(logits.argmax()))
            logits = model.go_on(new[-1])
        writes.append(time.perf_counter() - started)
    print(json.dumps({"load": load, "loaded": loaded, "weights": model.bytes / 2**20, "prompt": min(prompts),
                      "generate": min(writes), "peak": peak_megabytes(), "ids": new}))


if __name__ == "__main__":
    main(*sys.argv[1:])
