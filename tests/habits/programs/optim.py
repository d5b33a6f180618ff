# %% SGD, five steps
import torch
w = torch.tensor([1.0, -2.0], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(5):
    opt.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    opt.step()
print(w, loss.item())

# %% the optimizers, side by side
import torch
def run(make):
    w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    opt = make([w])
    for i in range(6):
        opt.zero_grad(set_to_none=True)
        ((w - torch.tensor([0.0, 1.0, float(i)])) ** 2).sum().backward()
        opt.step()
    return w.detach()
print(run(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)))
print(run(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1)))
print(run(lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9))))
print(run(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)))
print(run(lambda p: torch.optim.RMSprop(p, lr=0.01)))
print(run(lambda p: torch.optim.Adagrad(p, lr=0.1)))

# %% zero_grad both ways
import torch
from torch import optim
w = torch.ones(2, requires_grad=True)
opt = optim.SGD([w], lr=1.0)
(w * 3).sum().backward()
opt.zero_grad(set_to_none=False)
print(w.grad)
opt.zero_grad()
print(w.grad)

# %% parameter groups
import torch
from torch import nn, optim
model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
decay = [p for p in model.parameters() if p.dim() >= 2]
rest = [p for p in model.parameters() if p.dim() < 2]
opt = optim.AdamW([{'params': decay, 'weight_decay': 0.1}, {'params': rest, 'weight_decay': 0.0}], lr=3e-4, betas=(0.9, 0.95))
print([(len(g['params']), g['weight_decay'], g['lr']) for g in opt.param_groups])
for g in opt.param_groups:
    g['lr'] = 0.5
print([g['lr'] for g in opt.param_groups])

# %% clipping by norm
import torch
import torch.nn as nn
w = torch.tensor([3.0, 4.0], requires_grad=True)
(w * w / 2).sum().backward()
norm = torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
print(norm, w.grad, w.grad.norm())
print(float(nn.utils.clip_grad_norm_(w, 10.0)))

# %% clipping by value
import torch
w = torch.tensor([3.0, -4.0, 0.1], requires_grad=True)
(w * w).sum().backward()
torch.nn.utils.clip_grad_value_([w], clip_value=1.0)
print(w.grad)
total_norm = torch.norm(torch.stack([torch.norm(p.grad.detach(), 2) for p in [w]]), 2)
print(total_norm)

# %% step schedule
import torch
w = torch.zeros(1, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
sched = torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.1)
for _ in range(5):
    print(opt.param_groups[0]['lr'], sched.get_last_lr())
    opt.step()
    sched.step()

# %% cosine, exponential, multi-step, lambda
import math
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, MultiStepLR, LinearLR
def rates(make, n=6):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    s = make(opt)
    out = []
    for _ in range(n):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        s.step()
    return out
print(rates(lambda o: CosineAnnealingLR(o, T_max=5)))
print(rates(lambda o: CosineAnnealingLR(o, T_max=4, eta_min=0.1)))
print(rates(lambda o: ExponentialLR(o, gamma=0.5)))
print(rates(lambda o: MultiStepLR(o, milestones=[2, 4], gamma=0.1)))
print(rates(lambda o: LambdaLR(o, lr_lambda=lambda e: 0.9 ** e)))
print(rates(lambda o: LinearLR(o, start_factor=0.25, total_iters=4)))

# %% one cycle and warm-up followed by cosine
import torch
from torch.optim.lr_scheduler import LinearLR, CosineAnnealingLR, SequentialLR, OneCycleLR
def rates(make, n):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    s = make(opt)
    out = []
    for _ in range(n):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        s.step()
    return out
print(rates(lambda o: SequentialLR(o, [LinearLR(o, start_factor=0.1, total_iters=3), CosineAnnealingLR(o, T_max=5)], milestones=[3]), 8))
print(rates(lambda o: OneCycleLR(o, max_lr=1.0, total_steps=10, cycle_momentum=False), 9))

# %% reduce on plateau
import torch
opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
s = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, mode='min', factor=0.5, patience=1)
for loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6):
    s.step(loss)
    print(opt.param_groups[0]['lr'])

# %% an optimizer's state
import torch
w = torch.tensor([1.0], requires_grad=True)
opt = torch.optim.Adam([w], lr=0.1)
(w * 2).sum().backward()
opt.step()
sd = opt.state_dict()
print(sorted(sd.keys()), sd['param_groups'][0]['lr'], sd['param_groups'][0]['params'], sd['state'][0]['exp_avg'].item())
opt2 = torch.optim.Adam([w], lr=0.5)
opt2.load_state_dict(sd)
print(opt2.param_groups[0]['lr'])

# %% gradient accumulation
import torch
from torch import nn
model = nn.Linear(2, 1)
nn.init.constant_(model.weight, 0.5); nn.init.zeros_(model.bias)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.arange(8.0).view(4, 2); y = torch.ones(4, 1)
steps = 2
for i in range(4):
    loss = nn.functional.mse_loss(model(x[i:i+1]), y[i:i+1]) / steps
    loss.backward()
    if (i + 1) % steps == 0:
        opt.step()
        opt.zero_grad()
print(model.weight, model.bias)

# %% exponential moving average of weights
import copy
import torch
from torch import nn
model = nn.Linear(2, 1, bias=False)
nn.init.zeros_(model.weight)
ema = copy.deepcopy(model)
for step in range(3):
    with torch.no_grad():
        model.weight.add_(1.0)
        for pe, p in zip(ema.parameters(), model.parameters()):
            pe.mul_(0.9).add_(p, alpha=0.1)
print(ema.weight, model.weight)
with torch.no_grad():
    for pe, p in zip(ema.parameters(), model.parameters()):
        pe.lerp_(p, 0.5)
print(ema.weight)

# %% a target network, copied softly
import torch
from torch import nn
a, b = nn.Linear(2, 2), nn.Linear(2, 2)
nn.init.ones_(a.weight); nn.init.zeros_(b.weight)
tau = 0.25
with torch.no_grad():
    for tp, p in zip(b.parameters(), a.parameters()):
        tp.copy_(tau * p + (1 - tau) * tp)
print(b.weight)

# %% an optimizer written by its user
import torch
class SignSGD(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.add_(torch.sign(p.grad), alpha=-group["lr"])
w = torch.tensor([1.0, -2.0], requires_grad=True)
opt = SignSGD([w])
for _ in range(3):
    opt.zero_grad()
    (w ** 2).sum().backward()
    opt.step()
print(w)

# %% AdamW by hand, with state
import math
import torch
class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self.param_groups:
            lr, (b1, b2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                grad = p.grad.data
                t = state.get("t", 1)
                m = state.get("m", torch.zeros_like(p.data))
                v = state.get("v", torch.zeros_like(p.data))
                m = b1 * m + (1 - b1) * grad
                v = b2 * v + (1 - b2) * grad * grad
                lr_t = lr * math.sqrt(1 - b2 ** t) / (1 - b1 ** t)
                p.data -= lr_t * m / (torch.sqrt(v) + group["eps"])
                p.data -= lr * group["weight_decay"] * p.data
                state["t"], state["m"], state["v"] = t + 1, m, v
        return loss
w = torch.tensor([1.0, -2.0], requires_grad=True)
opt = AdamW([w], lr=0.1)
for _ in range(4):
    opt.zero_grad()
    (w ** 2).sum().backward()
    opt.step()
print(w)

# %% SGD with decay by step, as a hand-out has it
import math
import torch
class SGD(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3):
        if lr < 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, {"lr": lr})
    def step(self, closure=None):
        for group in self.param_groups:
            lr = group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                t = state.get("t", 0)
                grad = p.grad.data
                p.data -= lr / math.sqrt(t + 1) * grad
                state["t"] = t + 1
weights = torch.nn.Parameter(5 * torch.ones((3, 3)))
opt = SGD([weights], lr=1)
for t in range(5):
    opt.zero_grad()
    loss = (weights ** 2).mean()
    print(loss.cpu().item())
    loss.backward()
    opt.step()

# %% loss, backward, step with a closure
import torch
w = torch.tensor([2.0], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
def closure():
    opt.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    return loss
print(opt.step(closure), w)

# %% a classifier of spirals learns
import torch
from torch import nn
torch.manual_seed(0)
t = torch.linspace(0, 6, 50)
x = torch.cat([torch.stack([t * t.cos(), t * t.sin()], 1), torch.stack([-t * t.cos(), -t * t.sin()], 1)]) / 6
y = torch.cat([torch.zeros(50), torch.ones(50)]).long()
model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
opt = torch.optim.Adam(model.parameters(), lr=0.02)
for epoch in range(200):
    opt.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
pred = model(x).argmax(dim=1)
print((pred == y).float().mean().item() > 0.95, loss.item() < 0.2)

# %% XOR with BCE
import torch
from torch import nn, optim
torch.manual_seed(1)
X = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])
Y = torch.tensor([[0.], [1.], [1.], [0.]])
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
criterion = nn.BCELoss()
optimizer = optim.Adam(model.parameters(), lr=0.1)
for epoch in range(200):
    optimizer.zero_grad()
    outputs = model(X)
    loss = criterion(outputs, Y)
    loss.backward()
    optimizer.step()
with torch.no_grad():
    print((model(X) > 0.5).int().tolist(), (model(X).round() == Y).all().item())

# %% two networks with two optimizers
import torch
from torch import nn
torch.manual_seed(0)
G, D = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
opt_g, opt_d = torch.optim.Adam(G.parameters(), 0.01), torch.optim.Adam(D.parameters(), 0.01)
bce = nn.BCEWithLogitsLoss()
for _ in range(5):
    real, fake = torch.ones(8, 1) * 3, G(torch.randn(8, 1))
    opt_d.zero_grad()
    d_loss = bce(D(real), torch.ones(8, 1)) + bce(D(fake.detach()), torch.zeros(8, 1))
    d_loss.backward()
    opt_d.step()
    opt_g.zero_grad()
    g_loss = bce(D(fake), torch.ones(8, 1))
    g_loss.backward()
    opt_g.step()
print(d_loss.item() > 0, g_loss.item() > 0, all(p.grad is not None for p in G.parameters()))

# %% flat vector of all parameters
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
m = nn.Linear(2, 1)
nn.init.ones_(m.weight); nn.init.zeros_(m.bias)
v = parameters_to_vector(m.parameters())
print(v)
vector_to_parameters(v * 2 + 1, m.parameters())
print(m.weight, m.bias)

# %% weights changed between forward and backward
import torch
from torch import nn
m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
loss = m(torch.ones(1, 2)).sum()
with torch.no_grad():
    m[1].weight.add_(1.0)
try:
    loss.backward()
    print("silent")
except RuntimeError:
    print("refused")
