# %% a bigram model, counted and sampled
import torch
words = ["emma", "olivia", "ava"]
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}; stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
N = torch.zeros((len(stoi), len(stoi)), dtype=torch.int32)
for w in words:
    chs = ["."] + list(w) + ["."]
    for a, b in zip(chs, chs[1:]):
        N[stoi[a], stoi[b]] += 1
P = (N + 1).float()
P /= P.sum(1, keepdim=True)
log_likelihood, n = 0.0, 0
for w in words:
    chs = ["."] + list(w) + ["."]
    for a, b in zip(chs, chs[1:]):
        log_likelihood += torch.log(P[stoi[a], stoi[b]])
        n += 1
print(f"{-log_likelihood/n:.4f}", N.sum().item())
g = torch.Generator().manual_seed(2147483647)
ix, out = 0, []
while True:
    ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
    if ix == 0 or len(out) > 50:
        break
    out.append(itos[ix])
print(all(c in chars for c in out))

# %% the same bigram as a network
import torch
import torch.nn.functional as F
xs, ys = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([1, 2, 2, 1, 0])
W = torch.zeros((3, 3), requires_grad=True)
for k in range(30):
    xenc = F.one_hot(xs, num_classes=3).float()
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(xs.nelement()), ys].log().mean() + 0.01 * (W**2).mean()
    W.grad = None
    loss.backward()
    W.data += -1.0 * W.grad
print(loss.item(), W)

# %% an MLP language model by hand
import torch
import torch.nn.functional as F
X = torch.tensor([[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 0]])
Y = torch.tensor([2, 3, 0, 1])
C = torch.arange(8.0).view(4, 2).sin()
W1, b1 = torch.arange(36.0).view(6, 6).cos() * 0.3, torch.zeros(6)
W2, b2 = torch.arange(24.0).view(6, 4).sin() * 0.1, torch.zeros(4)
parameters = [C, W1, b1, W2, b2]
for p in parameters:
    p.requires_grad = True
print(sum(p.nelement() for p in parameters))
for i in range(20):
    emb = C[X]
    h = torch.tanh(emb.view(emb.shape[0], -1) @ W1 + b1)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Y)
    for p in parameters:
        p.grad = None
    loss.backward()
    lr = 0.1 if i < 10 else 0.01
    for p in parameters:
        p.data += -lr * p.grad
print(loss.item(), C)

# %% fan-in, gain and dead units
import torch
x = torch.arange(200.0).view(20, 10).sin()
w = torch.arange(300.0).view(10, 30).cos() / 10**0.5
h = torch.tanh(x @ w * 5/3)
print(h.std().item(), (h.abs() > 0.99).float().mean().item(), (h.abs() > 0.97).all(0).any().item(), h.view(-1).tolist()[:3])

# %% backpropagation by hand of a softmax
import torch
import torch.nn.functional as F
logits = torch.arange(12.0).view(4, 3).sin().requires_grad_()
Yb = torch.tensor([0, 2, 1, 1])
logit_maxes = logits.max(1, keepdim=True).values
norm_logits = logits - logit_maxes
counts = norm_logits.exp()
counts_sum = counts.sum(1, keepdims=True)
counts_sum_inv = counts_sum**-1
probs = counts * counts_sum_inv
logprobs = probs.log()
loss = -logprobs[range(4), Yb].mean()
for t in [logprobs, probs, counts, counts_sum, counts_sum_inv, norm_logits, logit_maxes]:
    t.retain_grad()
loss.backward()
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(4), Yb] = -1.0 / 4
dprobs = (1.0 / probs) * dlogprobs
dlogits = F.softmax(logits, 1)
dlogits[range(4), Yb] -= 1
dlogits /= 4
def cmp(s, dt, t):
    ex = torch.all(dt == t.grad).item()
    app = torch.allclose(dt, t.grad, atol=1e-6)
    maxdiff = (dt - t.grad).abs().max().item()
    print(f'{s:15s} | approximate: {str(app):5s} | small: {maxdiff < 1e-6}')
cmp('logprobs', dlogprobs, logprobs)
cmp('probs', dprobs, probs)
cmp('logits', dlogits, logits)

# %% averaging the past, three ways
import torch
import torch.nn.functional as F
B, T, C = 2, 4, 2
x = torch.arange(16.0).view(B, T, C).sin()
xbow = torch.zeros((B, T, C))
for b in range(B):
    for t in range(T):
        xprev = x[b, :t + 1]
        xbow[b, t] = torch.mean(xprev, 0)
wei = torch.tril(torch.ones(T, T))
wei = wei / wei.sum(1, keepdim=True)
xbow2 = wei @ x
tril = torch.tril(torch.ones(T, T))
wei = torch.zeros((T, T))
wei = wei.masked_fill(tril == 0, float('-inf'))
wei = F.softmax(wei, dim=-1)
xbow3 = wei @ x
print(torch.allclose(xbow, xbow2, atol=1e-6), torch.allclose(xbow, xbow3, atol=1e-6), xbow[0], wei)

# %% one head of attention
import torch
import torch.nn as nn
from torch.nn import functional as F
class Head(nn.Module):
    def __init__(self, n_embd, head_size, block_size, dropout=0.0):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.register_buffer('tril', torch.tril(torch.ones(block_size, block_size)))
        self.dropout = nn.Dropout(dropout)
    def forward(self, x):
        B, T, C = x.shape
        k, q = self.key(x), self.query(x)
        wei = q @ k.transpose(-2, -1) * k.shape[-1]**-0.5
        wei = wei.masked_fill(self.tril[:T, :T] == 0, float('-inf'))
        wei = self.dropout(F.softmax(wei, dim=-1))
        return wei @ self.value(x)
head = Head(4, 3, 8)
with torch.no_grad():
    for i, p in enumerate(head.parameters()):
        p.copy_((torch.arange(12.0).view(3, 4) + i).sin())
print(head(torch.arange(24.0).view(2, 3, 4).cos()), [tuple(p.shape) for p in head.parameters()])

# %% a small GPT in a lecture's style, trained a little
import torch
import torch.nn as nn
from torch.nn import functional as F
torch.manual_seed(1337)
vocab_size, n_embd, block_size, n_head = 11, 16, 8, 2
device = 'cuda' if torch.cuda.is_available() else 'cpu'
class Head(nn.Module):
    def __init__(self, head_size):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(n_embd, head_size, bias=False) for _ in range(3))
        self.register_buffer('tril', torch.tril(torch.ones(block_size, block_size)))
    def forward(self, x):
        B, T, C = x.shape
        wei = self.query(x) @ self.key(x).transpose(-2, -1) * C ** -0.5
        wei = F.softmax(wei.masked_fill(self.tril[:T, :T] == 0, float('-inf')), dim=-1)
        return wei @ self.value(x)
class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([Head(n_embd // n_head) for _ in range(n_head)])
        self.proj = nn.Linear(n_embd, n_embd)
    def forward(self, x):
        return self.proj(torch.cat([h(x) for h in self.heads], dim=-1))
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.sa, self.ln1, self.ln2 = MultiHead(), nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.ffwd = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.ReLU(), nn.Linear(4 * n_embd, n_embd), nn.Dropout(0.0))
    def forward(self, x):
        x = x + self.sa(self.ln1(x))
        return x + self.ffwd(self.ln2(x))
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embedding_table = nn.Embedding(vocab_size, n_embd)
        self.position_embedding_table = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(2)])
        self.ln_f, self.lm_head = nn.LayerNorm(n_embd), nn.Linear(n_embd, vocab_size)
        self.apply(self._init_weights)
    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(T, device=device))
        logits = self.lm_head(self.ln_f(self.blocks(x)))
        if targets is None:
            return logits, None
        B, T, C = logits.shape
        return logits, F.cross_entropy(logits.view(B*T, C), targets.view(B*T))
    @torch.no_grad()
    def generate(self, idx, max_new_tokens):
        for _ in range(max_new_tokens):
            logits, loss = self(idx[:, -block_size:])
            probs = F.softmax(logits[:, -1, :], dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
        return idx
m = Model().to(device)
data = torch.arange(200) % vocab_size
optimizer = torch.optim.AdamW(m.parameters(), lr=1e-2)
first = None
for i in range(40):
    ix = torch.randint(len(data) - block_size, (8,))
    xb = torch.stack([data[j:j + block_size] for j in ix])
    yb = torch.stack([data[j + 1:j + block_size + 1] for j in ix])
    xb, yb = xb.to(device), yb.to(device)
    logits, loss = m(xb, yb)
    first = first or loss.item()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
print(abs(first - 2.4) < 0.2, loss.item() < 1.5, sum(p.numel() for p in m.parameters()))
print(m.generate(idx=torch.zeros((1, 1), dtype=torch.long), max_new_tokens=5)[0].tolist().__len__())

# %% estimate_loss
import torch
import torch.nn as nn
model = nn.Linear(1, 1)
nn.init.ones_(model.weight); nn.init.zeros_(model.bias)
eval_iters = 4
@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ['train', 'val']:
        losses = torch.zeros(eval_iters)
        for k in range(eval_iters):
            X = torch.tensor([[float(k)]])
            loss = (model(X) - (0 if split == 'train' else 1)).pow(2).mean()
            losses[k] = loss.item()
        out[split] = losses.mean()
    model.train()
    return out
losses = estimate_loss()
print(f"step {0}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")

# %% nanoGPT's attention
import math
import torch
import torch.nn as nn
from torch.nn import functional as F
class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd, n_head, block_size, bias=True, dropout=0.0):
        super().__init__()
        assert n_embd % n_head == 0
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=bias)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=bias)
        self.attn_dropout, self.resid_dropout = nn.Dropout(dropout), nn.Dropout(dropout)
        self.n_head, self.n_embd, self.dropout = n_head, n_embd, dropout
        self.flash = hasattr(torch.nn.functional, 'scaled_dot_product_attention')
        self.register_buffer("bias", torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size))
    def forward(self, x, flash):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        if flash:
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=self.dropout if self.training else 0, is_causal=True)
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float('-inf'))
            att = self.attn_dropout(F.softmax(att, dim=-1))
            y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))
att = CausalSelfAttention(8, 2, 6)
with torch.no_grad():
    for i, p in enumerate(att.parameters()):
        p.copy_((torch.arange(float(p.numel())).view(p.shape) * 0.37 + i).sin() * 0.5)
x = torch.arange(80.0).view(2, 5, 8).cos()
print(att(x, True), torch.allclose(att(x, True), att(x, False), atol=1e-6), att.flash)

# %% nanoGPT's loss and generation
import torch
from torch.nn import functional as F
logits = torch.arange(60.0).view(2, 3, 10).sin()
targets = torch.tensor([[1, 2, -1], [3, -1, 4]])
print(F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1))
top_k, temperature = 3, 0.8
logits = logits[:, -1, :] / temperature
v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
logits[logits < v[:, [-1]]] = -float('Inf')
probs = F.softmax(logits, dim=-1)
idx_next = torch.multinomial(probs, num_samples=1)
print(probs, idx_next.shape, probs.gather(1, idx_next).min().item() > 0)

# %% nanoGPT's optimizer groups and schedule
import inspect, math
import torch
import torch.nn as nn
model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
param_dict = {pn: p for pn, p in model.named_parameters()}
param_dict = {pn: p for pn, p in param_dict.items() if p.requires_grad}
decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
optim_groups = [{'params': decay_params, 'weight_decay': 0.1}, {'params': nodecay_params, 'weight_decay': 0.0}]
print(f"num decayed parameter tensors: {len(decay_params)}, with {sum(p.numel() for p in decay_params):,} parameters")
optimizer = torch.optim.AdamW(optim_groups, lr=6e-4, betas=(0.9, 0.95))
def get_lr(it, warmup=2, total=10, lr=6e-4, min_lr=6e-5):
    if it < warmup:
        return lr * (it + 1) / (warmup + 1)
    if it > total:
        return min_lr
    ratio = (it - warmup) / (total - warmup)
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (lr - min_lr)
for it in (0, 1, 2, 5, 12):
    for param_group in optimizer.param_groups:
        param_group['lr'] = get_lr(it)
    print(optimizer.param_groups[0]['lr'])

# %% nanoGPT's training step
import torch
import torch.nn as nn
from contextlib import nullcontext
device_type = 'cpu'
ctx = nullcontext() if device_type == 'cpu' else torch.amp.autocast(device_type=device_type, dtype=torch.bfloat16)
model = nn.Linear(4, 3)
with torch.no_grad():
    for i, p in enumerate(model.parameters()):
        p.copy_((torch.arange(float(p.numel())).view(p.shape) + i).sin())
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
X, Y = torch.arange(8.0).view(2, 4).cos(), torch.tensor([0, 2])
gradient_accumulation_steps, grad_clip = 2, 1.0
for micro_step in range(gradient_accumulation_steps):
    with ctx:
        loss = nn.functional.cross_entropy(model(X), Y) / gradient_accumulation_steps
    loss.backward()
if grad_clip != 0.0:
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
optimizer.step()
optimizer.zero_grad(set_to_none=True)
print(loss.item() * gradient_accumulation_steps, norm, model.weight)

# %% minGPT's GELU and configuration of parameters
import math
import torch
import torch.nn as nn
class NewGELU(nn.Module):
    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))
x = torch.linspace(-3, 3, 7)
print(NewGELU()(x), nn.GELU(approximate="tanh")(x))
model = nn.ModuleDict(dict(wte=nn.Embedding(4, 2), drop=nn.Dropout(0.1), h=nn.ModuleList([nn.Linear(2, 2), nn.LayerNorm(2)])))
decay, no_decay = set(), set()
for mn, m in model.named_modules():
    for pn, p in m.named_parameters():
        fpn = '%s.%s' % (mn, pn) if mn else pn
        if pn.endswith('bias'):
            no_decay.add(fpn)
        elif pn.endswith('weight') and isinstance(m, (torch.nn.Linear,)):
            decay.add(fpn)
        elif pn.endswith('weight') and isinstance(m, (torch.nn.LayerNorm, torch.nn.Embedding)):
            no_decay.add(fpn)
param_dict = {pn: p for pn, p in model.named_parameters()}
print(sorted(decay), sorted(no_decay), len(param_dict.keys() - (decay | no_decay)))

# %% minGPT's positions and sampling
import torch
import torch.nn as nn
from torch.nn import functional as F
idx = torch.tensor([[1, 2, 3]])
b, t = idx.size()
pos = torch.arange(0, t, dtype=torch.long, device=idx.device).unsqueeze(0)
print(pos, idx if idx.size(1) <= 2 else idx[:, -2:])
logits = torch.tensor([[1.0, 3.0, 2.0]])
_, idx_next = torch.topk(F.softmax(logits, dim=-1), k=1, dim=-1)
print(torch.cat((idx, idx_next), dim=1))
do_sample = True
idx_next = torch.multinomial(F.softmax(logits, -1), num_samples=1) if do_sample else idx_next
print(idx_next.shape, idx_next.dtype)

# %% nucleus sampling
import torch
import torch.nn.functional as F
logits = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]])
sorted_logits, sorted_indices = torch.sort(logits, descending=True)
cumulative = torch.cumsum(F.softmax(sorted_logits, dim=-1), dim=-1)
remove = cumulative > 0.8
remove[..., 1:] = remove[..., :-1].clone()
remove[..., 0] = False
indices_to_remove = remove.scatter(1, sorted_indices, remove)
logits = logits.masked_fill(indices_to_remove, float("-inf"))
print(logits, F.softmax(logits, dim=-1))

# %% rotary embedding with complex arithmetic avoided
import torch
def rotate_half(x):
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((-x2, x1), dim=-1)
T, d, theta = 4, 6, 10000.0
inv_freq = 1.0 / (theta ** (torch.arange(0, d, 2).float() / d))
t = torch.arange(T, dtype=torch.float32)
freqs = torch.outer(t, inv_freq)
emb = torch.cat((freqs, freqs), dim=-1)
cos, sin = emb.cos(), emb.sin()
q = torch.arange(24.0).view(1, 1, T, d).sin()
q_rot = q * cos[None, None] + rotate_half(q) * sin[None, None]
print(q_rot, torch.einsum("i,j->ij", t, inv_freq).shape, torch.allclose(q_rot.norm(dim=-1), q.norm(dim=-1), atol=1e-5))

# %% rotary over even and odd pairs
import torch
def apply_rope(x, theta=10000.0):
    T, d = x.shape[-2:]
    angles = torch.arange(T)[:, None] / theta ** (torch.arange(0, d, 2) / d)
    c, s = torch.cos(angles), torch.sin(angles)
    even, odd = x[..., 0::2], x[..., 1::2]
    out = torch.empty_like(x)
    out[..., 0::2] = even * c - odd * s
    out[..., 1::2] = even * s + odd * c
    return out
print(apply_rope(torch.arange(8.0).view(2, 4)))

# %% SwiGLU feed-forward
import torch
import torch.nn as nn
import torch.nn.functional as F
class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(d_model, d_ff, bias=False), nn.Linear(d_ff, d_model, bias=False), nn.Linear(d_model, d_ff, bias=False)
    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))
m = SwiGLU(2, 3)
with torch.no_grad():
    for i, p in enumerate(m.parameters()):
        p.copy_((torch.arange(6.0).view(p.shape) + i).cos())
print(m(torch.tensor([[1.0, -1.0]])), F.glu(torch.tensor([[1.0, 2.0, 0.5, -0.5]])))

# %% a hand-out's linear and embedding
import math
import torch
import torch.nn as nn
class Linear(nn.Module):
    def __init__(self, in_features, out_features, device=None, dtype=None):
        super().__init__()
        std = math.sqrt(2 / (in_features + out_features))
        self.weight = nn.Parameter(torch.empty((out_features, in_features), device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, mean=0.0, std=std, a=-3 * std, b=3 * std)
    def forward(self, x):
        return x @ self.weight.T
class Embedding(nn.Module):
    def __init__(self, n, d, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(n, d, device=device, dtype=dtype), std=1, a=-3, b=3))
    def forward(self, token_ids):
        return self.weight[token_ids]
lin, emb = Linear(3, 2), Embedding(7, 3)
out = lin(emb(torch.tensor([[1, 2], [3, 4]])))
print(out.shape, lin.weight.abs().max().item() <= 3 * math.sqrt(2 / 5), list(lin.state_dict()), emb.weight.abs().max().item() <= 3)
lin.load_state_dict({"weight": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])})
print(lin(torch.tensor([1.0, 2.0, 3.0])))

# %% a hand-out's softmax and cross entropy
import torch
def softmax(x, dim):
    x = x - x.max(dim=dim, keepdim=True)[0]
    e = torch.exp(x)
    return e / e.sum(dim=dim, keepdim=True)
def cross_entropy(inputs, targets):
    inputs = inputs - inputs.amax(-1, keepdim=True)
    logz = torch.log(torch.sum(torch.exp(inputs), dim=-1))
    return (logz - inputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean()
x = torch.tensor([[1e4, 1.0, -1e4], [0.1, 0.2, 0.3]])
print(softmax(x, -1), cross_entropy(x, torch.tensor([0, 1])), torch.nn.functional.cross_entropy(x, torch.tensor([0, 1])))

# %% a hand-out's gradient clipping
import torch
def clip(parameters, max_l2_norm, eps=1e-6):
    grads = [p.grad for p in parameters if p.grad is not None]
    total = torch.sqrt(sum((g ** 2).sum() for g in grads))
    if total > max_l2_norm:
        for g in grads:
            g.mul_(max_l2_norm / (total + eps))
    return total
ps = [torch.tensor([3.0], requires_grad=True), torch.tensor([4.0], requires_grad=True), torch.zeros(1, requires_grad=True)]
(ps[0] * 3 + ps[1] * 4).sum().backward()
print(clip(ps, 1.0), [p.grad for p in ps])

# %% a hand-out's batches
import numpy as np
import torch
def get_batch(dataset, batch_size, context_length, device):
    starts = torch.randint(len(dataset) - context_length, (batch_size,))
    x = torch.stack([torch.from_numpy(dataset[i:i + context_length].astype(np.int64)) for i in starts])
    y = torch.stack([torch.from_numpy(dataset[i + 1:i + 1 + context_length].astype(np.int64)) for i in starts])
    return x.to(device), y.to(device)
x, y = get_batch(np.arange(0, 100), 32, 7, "cpu")
print(x.shape, torch.equal(x + 1, y), 0 <= x.min() and x.max() < 100)

# %% a hand-out's checkpoint
import os, tempfile
import torch
def save_checkpoint(model, optimizer, iteration, out):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}, out)
def load_checkpoint(src, model, optimizer):
    checkpoint = torch.load(src)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    return checkpoint["iteration"]
model = torch.nn.Linear(3, 3)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=1e-2, betas=(0.9, 0.999), eps=1e-8)
for _ in range(3):
    optimizer.zero_grad(); model(torch.ones(2, 3)).pow(2).mean().backward(); optimizer.step()
path = os.path.join(tempfile.mkdtemp(), "checkpoint.pt")
save_checkpoint(model, optimizer, 3, path)
new_model = torch.nn.Linear(3, 3)
new_optimizer = torch.optim.AdamW(new_model.parameters(), lr=0.1)
print(load_checkpoint(path, new_model, new_optimizer))
for m, o in ((model, optimizer), (new_model, new_optimizer)):
    o.zero_grad(); m(torch.ones(2, 3)).pow(2).mean().backward(); o.step()
print(all(torch.allclose(a, b) for a, b in zip(model.parameters(), new_model.parameters())))

# %% a causal mask of booleans
import torch
T = 4
mask = torch.ones(T, T, dtype=torch.bool).tril()
scores = torch.arange(16.0).view(T, T)
print(scores.masked_fill(~mask, -torch.inf).softmax(dim=-1), torch.triu(torch.full((T, T), float('-inf')), diagonal=1))

# %% a bag of words classifies
import torch
import torch.nn as nn
word_to_ix = {"yo": 0, "creo": 1, "que": 2, "i": 3, "think": 4}
class BoW(nn.Module):
    def __init__(self, labels, vocab):
        super().__init__()
        self.linear = nn.Linear(vocab, labels)
    def forward(self, v):
        return nn.functional.log_softmax(self.linear(v), dim=1)
def vector(sentence):
    vec = torch.zeros(len(word_to_ix))
    for w in sentence:
        vec[word_to_ix[w]] += 1
    return vec.view(1, -1)
model = BoW(2, 5)
nn.init.zeros_(model.linear.weight); nn.init.zeros_(model.linear.bias)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(10):
    for s, label in ((["yo", "creo", "que"], 0), (["i", "think", "i"], 1)):
        model.zero_grad()
        loss = nn.NLLLoss()(model(vector(s)), torch.LongTensor([label]))
        loss.backward()
        opt.step()
print(loss, next(model.parameters())[:, word_to_ix["creo"]])

# %% sinusoidal positions
import math
import torch
import torch.nn as nn
class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.0, max_len=10):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer('pe', pe)
    def forward(self, x):
        return self.dropout(x + self.pe[:x.size(0)])
print(PositionalEncoding(4)(torch.zeros(3, 1, 4)))

# %% perplexity of a sequence
import torch
import torch.nn.functional as F
logits = torch.arange(30.0).view(1, 5, 6).sin()
ids = torch.tensor([[0, 3, 1, 5, 2]])
shift_logits, shift_labels = logits[..., :-1, :].contiguous(), ids[..., 1:].contiguous()
nll = F.cross_entropy(shift_logits.view(-1, 6), shift_labels.view(-1), reduction="none")
print(nll, torch.exp(nll.mean()))

# %% LoRA around a linear layer
import torch
import torch.nn as nn
class LoRA(nn.Module):
    def __init__(self, base, r=2, alpha=4):
        super().__init__()
        self.base = base
        for p in base.parameters():
            p.requires_grad_(False)
        self.A = nn.Parameter(torch.arange(float(r * base.in_features)).view(r, base.in_features).sin())
        self.B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scale = alpha / r
    def forward(self, x):
        return self.base(x) + (x @ self.A.t() @ self.B.t()) * self.scale
lin = nn.Linear(3, 2)
lora = LoRA(lin)
x = torch.ones(1, 3)
print(torch.equal(lora(x), lin(x)), [n for n, p in lora.named_parameters() if p.requires_grad])
lora(x).sum().backward()
print(lora.B.grad, lora.A.grad.abs().sum(), lin.weight.grad)

# %% a simple RNN cell unrolled
import torch
import torch.nn as nn
class RNN(nn.Module):
    def __init__(self, i, h):
        super().__init__()
        self.h = h
        self.i2h, self.h2h = nn.Linear(i, h), nn.Linear(h, h)
    def forward(self, x):
        state = torch.zeros(x.size(1), self.h)
        outs = []
        for step in x:
            state = torch.tanh(self.i2h(step) + self.h2h(state))
            outs.append(state)
        return torch.stack(outs), state
rnn = RNN(2, 3)
with torch.no_grad():
    for i, p in enumerate(rnn.parameters()):
        p.copy_((torch.arange(float(p.numel())).view(p.shape) + i).sin())
out, h = rnn(torch.arange(16.0).view(4, 2, 2).cos())
h.sum().backward()
print(out.shape, h, rnn.h2h.weight.grad)

# %% policy gradient bookkeeping
import torch
import torch.nn.functional as F
logits = torch.tensor([[0.5, 1.0], [0.2, -0.3], [0.0, 0.1]], requires_grad=True)
actions, rewards = torch.tensor([1, 0, 1]), [1.0, 0.0, 2.0]
returns, R = [], 0
for r in rewards[::-1]:
    R = r + 0.9 * R
    returns.insert(0, R)
returns = torch.tensor(returns)
returns = (returns - returns.mean()) / (returns.std() + 1e-8)
logp = F.log_softmax(logits, dim=-1)[range(3), actions]
loss = -(logp * returns).sum()
loss.backward()
print(loss, logits.grad)

# %% Q-learning targets
import torch
q = torch.arange(12.0).view(4, 3).sin().requires_grad_()
next_q = torch.arange(12.0).view(4, 3).cos()
a, r, done = torch.tensor([0, 1, 2, 1]), torch.tensor([1.0, 0.0, -1.0, 2.0]), torch.tensor([False, False, True, False])
target = r + 0.99 * next_q.max(1).values * (~done)
picked = q.gather(1, a[:, None]).squeeze(1)
loss = torch.nn.functional.smooth_l1_loss(picked, target.detach())
loss.backward()
print(loss, q.grad)

# %% contrastive loss of two batches
import torch
import torch.nn.functional as F
a = F.normalize(torch.arange(12.0).view(3, 4).sin(), dim=-1)
b = F.normalize(torch.arange(12.0).view(3, 4).cos(), p=2, dim=-1)
logits = a @ b.t() * torch.tensor(2.0).exp()
labels = torch.arange(len(logits))
print((F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2)

# %% a variational autoencoder's loss
import torch
import torch.nn.functional as F
mu = torch.tensor([[0.5, -0.5]], requires_grad=True)
logvar = torch.tensor([[0.1, -0.2]], requires_grad=True)
std = torch.exp(0.5 * logvar)
eps = torch.ones_like(std) * 0.3
z = mu + eps * std
recon = torch.sigmoid(z)
bce = F.binary_cross_entropy(recon, torch.tensor([[1.0, 0.0]]), reduction='sum')
kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
(bce + kld).backward()
print(bce, kld, mu.grad, logvar.grad)
