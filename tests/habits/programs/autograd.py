# %% the derivative of a square
import torch
x = torch.tensor(3.0, requires_grad=True)
y = x ** 2
y.backward()
print(x.grad, y.item(), x.requires_grad, y.requires_grad, x.is_leaf, y.is_leaf, y.grad_fn is not None)

# %% gradients add up until they are zeroed
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
for step in range(2):
    (w * 3).sum().backward()
    print(w.grad)
w.grad.zero_()
print(w.grad)
(w ** 2).sum().backward()
print(w.grad, w.grad.norm().item(), w.grad.abs().max())
w.grad = None
print(w.grad)

# %% micrograd's example
import torch
x1 = torch.Tensor([2.0]).double(); x1.requires_grad = True
x2 = torch.Tensor([0.0]).double(); x2.requires_grad = True
w1 = torch.Tensor([-3.0]).double(); w1.requires_grad = True
w2 = torch.Tensor([1.0]).double(); w2.requires_grad = True
b = torch.Tensor([6.8813735870195432]).double(); b.requires_grad = True
n = x1*w1 + x2*w2 + b
o = torch.tanh(n)
print(o.data.item())
o.backward()
print('x2', x2.grad.item(), 'w2', w2.grad.item(), 'x1', x1.grad.item(), 'w1', w1.grad.item())

# %% one descent by hand, with .data
import torch
W = torch.tensor([[0.5, -0.5], [0.25, 0.75]], requires_grad=True)
x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([1])
for k in range(5):
    logits = x @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(1), y].log().mean() + 0.01 * (W ** 2).mean()
    W.grad = None
    loss.backward()
    W.data += -0.5 * W.grad
print(loss.item(), W)

# %% one descent by hand, under no_grad
import torch
w = torch.tensor([1.0, -1.0], requires_grad=True)
b = torch.zeros(1, requires_grad=True)
xs = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
ys = torch.tensor([1.0, 2.0, 0.0])
for epoch in range(10):
    pred = xs @ w + b
    loss = ((pred - ys) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.05 * w.grad
        b -= 0.05 * b.grad
        w.grad.zero_()
        b.grad.zero_()
print(loss.item(), w, b)

# %% sub_ and mul_ on parameters
import torch
w = torch.ones(3, requires_grad=True)
(w * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
with torch.no_grad():
    w.sub_(0.1 * w.grad)
    w.mul_(2).add_(1).div_(2)
print(w, w.is_leaf)
with torch.no_grad():
    w.clamp_(max=1.0)
print(w)

# %% in place on a leaf that wants gradients
import torch
w = torch.ones(2, requires_grad=True)
try:
    w += 1
except RuntimeError:
    print("refused")
try:
    w[0] = 5
except RuntimeError:
    print("refused")
print(w)

# %% no_grad, detach and requires_grad_
import torch
x = torch.ones(2, requires_grad=True)
with torch.no_grad():
    y = x * 2
print(y.requires_grad, x.detach().requires_grad, torch.is_grad_enabled())
z = torch.zeros(2)
z.requires_grad_()
(x * z).sum().backward()
print(x.grad, z.grad)
@torch.no_grad()
def double(v):
    return v * 2
print(double(x).requires_grad)
with torch.set_grad_enabled(False):
    print((x * 2).requires_grad)
with torch.inference_mode():
    print((x * 2).sum().item())

# %% detach stops the gradient
import torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x * 2
loss = (y * y.detach()).sum()
loss.backward()
print(x.grad)

# %% backward of a vector needs a gradient
import torch
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * x
y.backward(torch.tensor([1.0, 0.1, 0.01]))
print(x.grad)
x.grad = None
y = x * x
y.backward(gradient=torch.ones_like(y))
print(x.grad)
try:
    (x * 2).backward()
except RuntimeError:
    print("grad can be implicitly created only for scalar outputs")

# %% twice through the same graph
import torch
x = torch.tensor(2.0, requires_grad=True)
y = x ** 3
y.backward(retain_graph=True)
y.backward()
print(x.grad)
try:
    y.backward()
except RuntimeError:
    print("a second time is refused")

# %% torch.autograd.grad
import torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
w = torch.tensor([3.0, 4.0], requires_grad=True)
gx, gw = torch.autograd.grad((x * w).sum(), [x, w])
print(gx, gw, x.grad, w.grad)
(g,) = torch.autograd.grad((x ** 2).sum(), x)
print(g)

# %% retain_grad of a result
import torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x * 3
y.retain_grad()
z = (y ** 2).sum()
z.backward()
print(y.grad, x.grad)

# %% retain_grad of several results, as makemore does
import torch
a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
hpreact = a * 2 + 1
h = torch.tanh(hpreact / 10)
loss = -h.mean()
for t in (hpreact, h, loss):
    t.retain_grad()
loss.backward()
print(loss.grad, h.grad, hpreact.grad, a.grad)
dh = torch.full_like(h, -1.0 / h.numel())
print(torch.all(dh == h.grad).item(), torch.allclose((1 - h**2) * dh / 10, hpreact.grad), (dh - h.grad).abs().max().item())

# %% a hook sees and changes the gradient
import torch
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x * 2
handle = y.register_hook(lambda grad: grad * 10)
seen = []
x.register_hook(lambda g: seen.append(g.clone()))
y.sum().backward()
print(x.grad, seen)
handle.remove()
x.grad = None
(x * 2).sum().backward()
print(x.grad)

# %% linear regression on made data
import torch
xs = torch.linspace(-1, 1, 20).unsqueeze(1)
ys = 3 * xs - 0.5
w = torch.zeros(1, 1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(100):
    loss = (xs.mm(w) + b - ys).pow(2).mean()
    loss.backward()
    with torch.no_grad():
        for p in (w, b):
            p -= 0.3 * p.grad
            p.grad = None
print(f"{w.item():.3f} {b.item():.3f} {loss.item():.6f}")

# %% a sine fitted with a cubic
import math
import torch
x = torch.linspace(-math.pi, math.pi, 200)
y = torch.sin(x)
a, b, c, d = (torch.full((), v, requires_grad=True) for v in (0.1, 0.2, 0.3, 0.4))
learning_rate = 1e-5
for t in range(50):
    y_pred = a + b * x + c * x ** 2 + d * x ** 3
    loss = (y_pred - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        a -= learning_rate * a.grad
        b -= learning_rate * b.grad
        c -= learning_rate * c.grad
        d -= learning_rate * d.grad
        a.grad = b.grad = c.grad = d.grad = None
print(f'Result: y = {a.item():.4f} + {b.item():.4f} x + {c.item():.4f} x^2 + {d.item():.4f} x^3')

# %% a two-layer network by hand
import torch
x = torch.arange(12.0).view(4, 3) / 12
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
w1 = (torch.arange(12.0).view(3, 4) / 12 - 0.5)
w2 = torch.tensor([[0.5], [-0.5], [0.25], [1.0]])
for t in range(20):
    h = x.mm(w1)
    h_relu = h.clamp(min=0)
    y_pred = h_relu.mm(w2)
    loss = (y_pred - y).pow(2).sum().item()
    grad_y_pred = 2.0 * (y_pred - y)
    grad_w2 = h_relu.t().mm(grad_y_pred)
    grad_h = grad_y_pred.mm(w2.t()).clone()
    grad_h[h < 0] = 0
    grad_w1 = x.t().mm(grad_h)
    w1 -= 0.05 * grad_w1
    w2 -= 0.05 * grad_w2
print(loss, w1, w2)

# %% the gradient of max and of ties
import torch
x = torch.tensor([1.0, 3.0, 3.0, 2.0], requires_grad=True)
x.max().backward()
print(x.grad)
x.grad = None
x.max(dim=0).values.backward()
print(x.grad)

# %% the gradient of sort, topk and indexing
import torch
x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
(x.sort().values * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
print(x.grad)
x.grad = None
x.topk(2).values.sum().backward()
print(x.grad)
x.grad = None
x[[0, 0, 2]].sum().backward()
print(x.grad)

# %% the gradient of a norm
import torch
x = torch.tensor([3.0, 4.0], requires_grad=True)
x.norm().backward()
print(x.grad)
x.grad = None
torch.norm(x, p=1).backward()
print(x.grad)
z = torch.zeros(2, requires_grad=True)
z.norm().backward()
print(z.grad, torch.linalg.norm(x).item(), x.norm(dim=0, keepdim=True).shape)

# %% gradient through cat, stack and split
import torch
a = torch.tensor([1.0, 2.0], requires_grad=True)
b = torch.tensor([3.0], requires_grad=True)
c = torch.cat([a, b, a])
(c * torch.arange(5.0)).sum().backward()
print(a.grad, b.grad)
u, v = torch.stack([a, a * 2]).unbind(0)
print((u * v).sum().item())

# %% gradient through where and masked_fill
import torch
x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
torch.where(x > 0, x ** 2, torch.zeros(())).sum().backward()
print(x.grad)
x.grad = None
x.masked_fill(x > 2.5, 0.0).sum().backward()
print(x.grad)

# %% item assignment inside a graph
import torch
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x * 2
y[0] = 100.0
y.sum().backward()
print(y, x.grad)

# %% building a result row by row
import torch
x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
out = torch.zeros(3, 2)
for i in range(3):
    out[i] = x[:i + 1].mean(0)
out.sum().backward()
print(out, x.grad)

# %% a numerical check of a gradient
import torch
def f(v):
    return (torch.sin(v) * torch.exp(-v ** 2)).sum()
x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
f(x).backward()
eps = 1e-6
for i in range(2):
    d = torch.zeros_like(x)
    d[i] = eps
    print(((f(x.detach() + d) - f(x.detach() - d)) / (2 * eps) - x.grad[i]).abs().item() < 1e-8)

# %% requires_grad of integers is refused
import torch
try:
    torch.tensor([1, 2], requires_grad=True)
except (RuntimeError, TypeError):
    print("only floats")
try:
    torch.tensor([1.0]).backward()
except RuntimeError:
    print("no graph")

# %% losses kept in a list
import torch
w = torch.tensor(1.0, requires_grad=True)
losses = []
for i in range(3):
    loss = (w * i - 1) ** 2
    losses.append(loss)
total = sum(losses) / len(losses)
total.backward()
print(total.item(), w.grad, torch.stack(losses).detach(), torch.tensor([l.item() for l in losses]).mean())

# %% straight-through estimator
import torch
x = torch.tensor([0.2, 0.8], requires_grad=True)
hard = (x > 0.5).float()
y = hard + x - x.detach()
(y * torch.tensor([2.0, 3.0])).sum().backward()
print(y, x.grad)

# %% normalising a vector keeps its direction's gradient
import torch
import torch.nn.functional as F
x = torch.tensor([[3.0, 4.0], [1.0, 0.0]], requires_grad=True)
y = F.normalize(x, dim=1)
(y[:, 0] * 5).sum().backward()
print(y, x.grad)
