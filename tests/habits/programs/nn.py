# %% a linear layer with given weights
import torch
from torch import nn
layer = nn.Linear(3, 2)
with torch.no_grad():
    layer.weight.copy_(torch.arange(6.0).view(2, 3))
    layer.bias.fill_(0.5)
print(layer(torch.tensor([[1.0, 2.0, 3.0]])), layer.weight.shape, layer.in_features, layer)

# %% the parameters of a module
import torch
import torch.nn as nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.act = nn.ReLU()
        self.fc2 = nn.Linear(8, 2, bias=False)
    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))
net = Net()
for name, p in net.named_parameters():
    print(name, p.shape, p.requires_grad)
print(sum(p.numel() for p in net.parameters()), sum(p.nelement() for p in net.parameters() if p.requires_grad), len(list(net.children())))
print(net)

# %% Sequential with all the usual layers
import torch
import torch.nn as nn
model = nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
model.eval()
out = model(torch.randn(5, 2, 4))
print(out.shape, out.exp().sum(dim=1), model[1], len(model))

# %% dropout, in training and not
import torch
import torch.nn as nn
drop = nn.Dropout(p=0.5, inplace=False)
x = torch.ones(1000)
drop.train()
y = drop(x)
print(sorted(set(y.tolist())), 300 < (y == 0).sum().item() < 700, drop.training)
drop.eval()
print(torch.equal(drop(x), x), drop)

# %% activations as functions and as modules
import torch
import torch.nn as nn
import torch.nn.functional as F
x = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0])
for f in (F.relu, F.gelu, F.silu, F.sigmoid, F.tanh, F.leaky_relu, F.softplus, F.elu, F.relu6, F.hardtanh, F.mish, F.softsign, F.selu):
    print(f.__name__ if hasattr(f, '__name__') else f, f(x))
for m in (nn.ReLU(), nn.GELU(), nn.GELU(approximate='tanh'), nn.SiLU(), nn.LeakyReLU(0.2), nn.ELU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.ReLU6(), nn.Hardtanh()):
    print(type(m).__name__, m(x))
print(torch.relu(x), torch.sigmoid(x), torch.tanh(x), F.relu(x, inplace=False))

# %% softmax everywhere
import torch
import torch.nn as nn
import torch.nn.functional as F
x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
print(F.softmax(x, dim=-1), torch.softmax(x, dim=1), x.softmax(-1), nn.Softmax(dim=1)(x), F.log_softmax(x, dim=1), torch.log_softmax(x, -1), x.logsumexp(1), torch.logsumexp(x, dim=1, keepdim=True))

# %% register_buffer and state_dict
import torch
import torch.nn as nn
class Head(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.key = nn.Linear(n, n, bias=False)
        self.register_buffer('tril', torch.tril(torch.ones(n, n)))
        self.scale = nn.Parameter(torch.ones(1))
    def forward(self, x):
        return self.key(x).masked_fill(self.tril == 0, 0.0) * self.scale
h = Head(3)
print(list(h.state_dict().keys()), [n for n, _ in h.named_buffers()], [n for n, _ in h.named_parameters()])
for k, v in h.state_dict().items():
    print(k, tuple(v.shape), v.dtype)

# %% weights copied from one model to the other
import torch
import torch.nn as nn
a, b = nn.Linear(2, 2), nn.Linear(2, 2)
b.load_state_dict(a.state_dict())
x = torch.randn(3, 2)
print(torch.equal(a(x), b(x)), b.load_state_dict(a.state_dict()))
try:
    nn.Linear(3, 2).load_state_dict(a.state_dict())
except RuntimeError:
    print("shapes differ")

# %% saved and loaded
import os, tempfile
import torch
import torch.nn as nn
path = os.path.join(tempfile.mkdtemp(), "model.pt")
model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
opt = torch.optim.Adam(model.parameters(), lr=0.01)
model(torch.randn(8, 4)).mean().backward()
opt.step()
torch.save({"model": model.state_dict(), "optimizer": opt.state_dict(), "epoch": 3, "best": 0.5, "history": [1.0, 0.7]}, path)
checkpoint = torch.load(path, map_location="cpu")
other = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
other.load_state_dict(checkpoint["model"])
opt2 = torch.optim.Adam(other.parameters(), lr=0.01)
opt2.load_state_dict(checkpoint["optimizer"])
x = torch.randn(2, 4)
print(torch.equal(model(x), other(x)), checkpoint["epoch"], checkpoint["best"], checkpoint["history"], list(checkpoint))

# %% tensors saved into memory
import io
import torch
buffer = io.BytesIO()
torch.save([torch.arange(3), {"a": torch.tensor(1.5), 2: "two"}, None, (1, 2)], buffer)
buffer.seek(0)
x, d, n, t = torch.load(buffer, weights_only=True)
print(x, d["a"], d[2], n, t)

# %% initialised by hand
import torch
import torch.nn as nn
def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.constant_(m.weight, 0.1)
        if m.bias is not None:
            nn.init.zeros_(m.bias)
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
model.apply(init_weights)
print(model(torch.tensor([[1.0, 2.0]])))
nn.init.ones_(model[0].bias)
print(model[0].bias)

# %% the spreads of the initialisations
import math
import torch
import torch.nn as nn
torch.manual_seed(0)
w = torch.empty(400, 300)
nn.init.normal_(w, mean=0.0, std=0.02)
print(abs(w.std().item() - 0.02) < 0.001)
nn.init.xavier_uniform_(w)
print(w.abs().max().item() <= math.sqrt(6 / 700), abs(w.std().item() - math.sqrt(2 / 700)) < 0.002)
nn.init.kaiming_normal_(w, nonlinearity='relu')
print(abs(w.std().item() - math.sqrt(2 / 300)) < 0.002)
nn.init.uniform_(w, -0.1, 0.1)
print(-0.1 <= w.min().item() and w.max().item() <= 0.1)
nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04)
print(w.abs().max().item() <= 0.04)
nn.init.kaiming_uniform_(w, a=math.sqrt(5))
print(w.abs().max().item() <= 1 / math.sqrt(300))
nn.init.orthogonal_(w)
print(torch.allclose(w.t() @ w, torch.eye(300), atol=1e-4))

# %% embedding
import torch
import torch.nn as nn
emb = nn.Embedding(5, 3)
with torch.no_grad():
    emb.weight.copy_(torch.arange(15.0).view(5, 3))
ids = torch.tensor([[0, 2], [4, 4]])
print(emb(ids), emb.num_embeddings, emb.embedding_dim)
emb(ids).sum().backward()
print(emb.weight.grad)
try:
    emb(torch.tensor([5]))
except IndexError:
    print("out of range")

# %% embedding with padding
import torch
import torch.nn as nn
emb = nn.Embedding(4, 2, padding_idx=0)
print(emb.weight[0])
emb(torch.tensor([0, 1, 1])).sum().backward()
print(emb.weight.grad)
e2 = nn.Embedding.from_pretrained(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
print(e2(torch.tensor([1])), e2.weight.requires_grad)

# %% layer norm by hand
import torch
import torch.nn as nn
class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.bias = nn.Parameter(torch.zeros(ndim)) if bias else None
    def forward(self, x):
        return nn.functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)
x = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
mine, theirs = LayerNorm(3, bias=True), nn.LayerNorm(3)
mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
print(mine(x), theirs(x), (x - mean) / torch.sqrt(var + 1e-5), LayerNorm(3, bias=False)(x))
print(nn.LayerNorm(3, eps=1e-3)(x), nn.LayerNorm([2, 3])(x[None]))

# %% RMS norm by hand
import torch
import torch.nn as nn
class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight
x = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
print(RMSNorm(3)(x), nn.RMSNorm(3, eps=1e-6)(x))

# %% batch norm
import torch
import torch.nn as nn
bn = nn.BatchNorm1d(2, momentum=0.5)
x = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]])
print(bn(x), bn.running_mean, bn.running_var)
bn.eval()
print(bn(x), bn.num_batches_tracked)

# %% batch norm by hand, with running statistics
import torch
class BatchNorm1d:
    def __init__(self, dim, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)
    def __call__(self, x):
        if self.training:
            xmean, xvar = x.mean(0, keepdim=True), x.var(0, keepdim=True)
        else:
            xmean, xvar = self.running_mean, self.running_var
        xhat = (x - xmean) / torch.sqrt(xvar + self.eps)
        self.out = self.gamma * xhat + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out
    def parameters(self):
        return [self.gamma, self.beta]
bn = BatchNorm1d(3)
out = bn(torch.arange(12.0).view(4, 3) ** 2)
print(out, bn.running_mean, bn.running_var, [p.shape for p in bn.parameters()])

# %% group norm
import torch
import torch.nn as nn
import torch.nn.functional as F
gn = nn.GroupNorm(2, 4)
x = torch.arange(16.0).view(1, 4, 2, 2) ** 2
print(gn(x), F.group_norm(x, 4).flatten())
gn(x).pow(3).sum().backward()
print(gn.weight.grad, gn.bias.grad)

# %% a small convolution
import torch
import torch.nn as nn
import torch.nn.functional as F
x = torch.arange(16.0).view(1, 1, 4, 4)
k = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
print(F.conv2d(x, k), F.conv2d(x, k, padding=1).shape, F.conv2d(x, k, stride=2))
conv = nn.Conv2d(in_channels=1, out_channels=6, kernel_size=3, padding=1)
print(conv(x).shape, conv.weight.shape, nn.Conv2d(1, 2, 5, stride=2, padding=2)(x).shape, nn.Conv1d(3, 4, 3)(torch.randn(2, 3, 10)).shape)

# %% pooling
import torch
import torch.nn as nn
import torch.nn.functional as F
x = torch.arange(16.0).view(1, 1, 4, 4)
print(F.max_pool2d(x, 2), F.avg_pool2d(x, 2), nn.MaxPool2d(kernel_size=2, stride=2)(x).shape, nn.MaxPool2d(2)(x)[0, 0, 1])
print(nn.AdaptiveAvgPool2d(1)(x), nn.AdaptiveAvgPool2d((2, 1))(x), F.adaptive_avg_pool2d(x, (1, 1)).flatten(), nn.AdaptiveAvgPool1d(2)(x[0]))

# %% LeNet
import torch
import torch.nn as nn
import torch.nn.functional as F
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)
net = Net()
params = list(net.parameters())
out = net(torch.randn(2, 1, 28, 28))
net.zero_grad()
out.backward(torch.randn(2, 10))
print(len(params), params[0].size(), out.shape, net.conv1.bias.grad.shape, net.conv1.bias.grad.abs().sum() > 0)

# %% a residual block
import torch
import torch.nn as nn
class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
                                  nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
    def forward(self, x):
        x = torch.relu(x + self.body(x))
        return self.pool(x).view(x.size(0), -1)
out = Block(4)(torch.randn(3, 4, 8, 8))
print(out.shape, (out >= 0).all().item())

# %% hooks on modules
import torch
import torch.nn as nn
seen = {}
def save(name):
    def hook(module, inputs, output):
        seen[name] = output.detach()
    return hook
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
handles = [layer.register_forward_hook(save(f"{i}:{type(layer).__name__}")) for i, layer in enumerate(model)]
model(torch.ones(4, 2))
print({k: v.shape for k, v in seen.items()})
for h in handles:
    h.remove()
seen.clear()
model(torch.ones(4, 2))
print(seen)

# %% a pre-hook changes the input
import torch
import torch.nn as nn
layer = nn.Linear(2, 1, bias=False)
nn.init.ones_(layer.weight)
layer.register_forward_pre_hook(lambda module, args: (args[0] * 10,))
print(layer(torch.tensor([1.0, 2.0])))
layer.register_forward_hook(lambda module, args, out: out + 1)
print(layer(torch.tensor([1.0, 2.0])))

# %% ModuleList and ModuleDict
import torch
import torch.nn as nn
class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
        self.heads = nn.ModuleDict({'a': nn.Linear(2, 1), 'b': nn.Linear(2, 5)})
    def forward(self, x, head):
        for layer in self.layers:
            x = layer(x)
        return self.heads[head](x)
s = Stack()
print(s(torch.ones(1, 2), 'b').shape, len(list(s.parameters())), [n for n, _ in s.named_modules()], 'a' in s.heads, len(s.layers))

# %% ParameterList
import torch
import torch.nn as nn
class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.ws = nn.ParameterList([nn.Parameter(torch.full((2,), float(i))) for i in range(3)])
    def forward(self, x):
        for w in self.ws:
            x = x + w
        return x
m = Mix()
print(m(torch.zeros(2)), [n for n, _ in m.named_parameters()], len(m.ws), m.ws[1])

# %% freezing layers
import torch
import torch.nn as nn
model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
for p in model[0].parameters():
    p.requires_grad = False
model(torch.ones(1, 2)).sum().backward()
print(model[0].weight.grad, model[2].bias.grad, [p.requires_grad for p in model.parameters()])
model.requires_grad_(False)
print(any(p.requires_grad for p in model.parameters()))

# %% tied weights
import torch
import torch.nn as nn
emb, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
head.weight = emb.weight
model = nn.ModuleDict({'wte': emb, 'lm_head': head})
print(sum(p.numel() for p in model.parameters()), head.weight is emb.weight, len(model.state_dict()))

# %% a parameter is not overwritten by a tensor
import torch
import torch.nn as nn
m = nn.Linear(2, 1)
try:
    m.weight = torch.zeros(1, 2)
except TypeError:
    print("refused")
m.bias = None
m.weight = nn.Parameter(torch.ones(1, 2))
print(m(torch.tensor([1.0, 2.0])), len(list(m.parameters())))

# %% modules in double
import torch
import torch.nn as nn
model = nn.Linear(2, 2).double()
print(model.weight.dtype, model(torch.ones(1, 2, dtype=torch.float64)).dtype)
model = model.to(torch.float32).to("cpu").to(device="cpu")
print(model.weight.dtype, next(model.parameters()).device)

# %% multi-head attention under PyTorch's name
import torch
import torch.nn as nn
mha = nn.MultiheadAttention(embed_dim=4, num_heads=2, batch_first=True)
with torch.no_grad():
    mha.in_proj_weight.copy_(torch.arange(48.0).view(12, 4).sin())
    mha.in_proj_bias.zero_()
    mha.out_proj.weight.copy_(torch.eye(4))
    mha.out_proj.bias.zero_()
x = torch.arange(24.0).view(2, 3, 4).cos()
out, w = mha(x, x, x)
print(out, w)
mask = torch.triu(torch.ones(3, 3, dtype=torch.bool), diagonal=1)
out, w = mha(x, x, x, attn_mask=mask, need_weights=False)
print(out, w)
print(mha(x, x, x, key_padding_mask=torch.tensor([[False, False, True], [False, False, False]]))[1])

# %% scaled dot product attention against its formula
import math
import torch
import torch.nn.functional as F
q = torch.arange(12.0).view(1, 3, 4).sin()
k, v = q.cos(), q * 2
out = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True)
att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
att = att.masked_fill(torch.tril(torch.ones(3, 3)) == 0, float('-inf'))
att = F.softmax(att, dim=-1)
print(out, att @ v, torch.allclose(out, att @ v, atol=1e-6))

# %% losses with mean, sum and none
import torch
import torch.nn as nn
import torch.nn.functional as F
x, y = torch.tensor([0.5, 1.0, 3.0]), torch.tensor([1.0, 1.0, 1.0])
print(nn.MSELoss()(x, y), nn.MSELoss(reduction='sum')(x, y), F.mse_loss(x, y, reduction='none'), nn.L1Loss()(x, y), F.smooth_l1_loss(x, y), F.huber_loss(x, y, delta=0.5), nn.SmoothL1Loss()(x, y))

# %% cross entropy
import torch
import torch.nn as nn
import torch.nn.functional as F
logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.0]], requires_grad=True)
target = torch.tensor([0, 2])
loss = F.cross_entropy(logits, target)
loss.backward()
print(loss, logits.grad)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
print(criterion(logits, target).item(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))(logits, target).item())
print(F.cross_entropy(logits, torch.tensor([-100, 1])).item(), F.cross_entropy(logits, torch.tensor([-1, 1]), ignore_index=-1).item())
print(F.nll_loss(F.log_softmax(logits, dim=1), target).item(), nn.NLLLoss()(logits.log_softmax(1), target).item())
print(F.cross_entropy(logits, F.one_hot(target, 3).float()).item())

# %% binary cross entropy
import torch
import torch.nn as nn
import torch.nn.functional as F
logits, y = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 0.0, 1.0])
print(nn.BCEWithLogitsLoss()(logits, y), nn.BCELoss()(torch.sigmoid(logits), y), F.binary_cross_entropy_with_logits(logits, y, pos_weight=torch.tensor(2.0)))
acc = ((torch.sigmoid(logits) > 0.5).float() == y).float().mean()
print(f"accuracy {acc:.2f}")

# %% KL divergence, cosine and pairwise distance
import torch
import torch.nn.functional as F
p, q = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.5, 0.5]])
print(F.kl_div(q.log(), p, reduction='batchmean'), F.kl_div(q.log(), p, reduction='sum'))
a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]])
print(F.cosine_similarity(a, b), F.pairwise_distance(a, b), torch.cdist(a, b), torch.dist(a, b), torch.dot(a[0], b[0]))

# %% one hot
import torch
import torch.nn.functional as F
ids = torch.tensor([[0, 2], [1, 1]])
x = F.one_hot(ids, num_classes=3)
print(x, x.dtype, F.one_hot(torch.tensor([1, 0])), x.float() @ torch.arange(6.0).view(3, 2))

# %% padding
import torch
import torch.nn.functional as F
x = torch.arange(4.0).view(1, 1, 2, 2)
print(F.pad(x, (1, 1, 1, 1)), F.pad(x, (1, 0), value=9.0), F.pad(torch.tensor([1, 2]), (2, 0), "constant", 0))

# %% modules that only compute
import torch
import torch.nn as nn
class Lambda(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f
    def forward(self, x):
        return self.f(x)
model = nn.Sequential(Lambda(lambda x: x * 2), nn.Identity(), nn.Unflatten(1, (2, 2)), Lambda(torch.sum))
print(model(torch.ones(3, 4)))

# %% cosine similarity as a layer
import torch
import torch.nn as nn
print(nn.CosineSimilarity(dim=1)(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])))

# %% a module is called with keywords and returns several things
import torch
import torch.nn as nn
class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 1)
    def forward(self, x, *, scale=1.0, targets=None):
        out = self.a(x) * scale
        loss = None if targets is None else ((self.b(out) - targets) ** 2).mean()
        return out, loss
m = Two()
out, loss = m(torch.ones(1, 2), scale=2.0)
print(out.shape, loss)
print(m(torch.ones(1, 2), targets=torch.zeros(1, 1))[1] >= 0)

# %% train and eval reach every child
import torch.nn as nn
m = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2), nn.BatchNorm1d(2)))
m.eval()
print([x.training for x in m.modules()])
m.train()
print(all(x.training for x in m.modules()))

# %% get_parameter, get_submodule, hasattr
import torch.nn as nn
m = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3)))
print(m.get_submodule("1.0").out_features, m.get_parameter("1.0.bias").shape, hasattr(m[0], "bias"), m._get_name(), dict(m.named_children()).keys())

# %% forgotten super init
import torch.nn as nn
class Config:
    n = 3
class M(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.lin = nn.Linear(config.n, config.n)
m = M(Config())
print(m.config.n, [n for n, _ in m.named_modules()], isinstance(m, nn.Module), isinstance(m.lin.weight, nn.Parameter))
