# %% a Dataset and its loader
import torch
from torch.utils.data import Dataset, DataLoader
class Squares(Dataset):
    def __len__(self):
        return 10
    def __getitem__(self, i):
        return torch.tensor([float(i)]), i * i
loader = DataLoader(Squares(), batch_size=4, shuffle=False)
for x, y in loader:
    print(x.shape, y, y.dtype)
print(len(loader))

# %% TensorDataset, shuffled
import torch
from torch.utils.data import TensorDataset, DataLoader
torch.manual_seed(0)
ds = TensorDataset(torch.arange(10).float().unsqueeze(1), torch.arange(10))
seen = []
for xb, yb in DataLoader(ds, batch_size=3, shuffle=True, drop_last=True):
    seen += yb.tolist()
    assert torch.equal(xb[:, 0].long(), yb)
print(len(seen), len(set(seen)), len(ds), ds[2])

# %% random_split and Subset
import torch
from torch.utils.data import random_split, TensorDataset, Subset, DataLoader
ds = TensorDataset(torch.arange(10))
train, val = random_split(ds, [8, 2], generator=torch.Generator().manual_seed(42))
print(len(train), len(val), sorted([ds_i[0].item() for part in (train, val) for ds_i in part]), len(Subset(ds, [1, 3])), Subset(ds, [1, 3])[1])

# %% a training loop, whole
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
X = torch.randn(64, 3)
y = (X.sum(1) > 0).long()
model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
def train(dataloader):
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        pred = model(X)
        loss = loss_fn(pred, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
def test(dataloader):
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).type(torch.float).sum().item()
    return correct / len(dataloader.dataset), test_loss / len(dataloader)
for t in range(20):
    train(DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True))
accuracy, avg = test(DataLoader(TensorDataset(X, y), batch_size=16))
print(accuracy > 0.9, avg < 0.4)

# %% a collate function pads
import torch
from torch.utils.data import DataLoader
from torch.nn.utils.rnn import pad_sequence
def collate(batch):
    return pad_sequence([torch.tensor(b) for b in batch], batch_first=True, padding_value=0), torch.tensor([len(b) for b in batch])
for x, n in DataLoader([[1, 2], [3], [4, 5, 6]], batch_size=3, collate_fn=collate):
    print(x, n)

# %% batches of text blocks
import torch
text = "hello world, hello tensors"
chars = sorted(list(set(text)))
stoi = {ch: i for i, ch in enumerate(chars)}
data = torch.tensor([stoi[c] for c in text], dtype=torch.long)
n = int(0.9 * len(data))
train_data, val_data = data[:n], data[n:]
torch.manual_seed(1337)
block_size, batch_size = 8, 4
ix = torch.randint(len(train_data) - block_size, (batch_size,))
x = torch.stack([train_data[i:i + block_size] for i in ix])
y = torch.stack([train_data[i + 1:i + block_size + 1] for i in ix])
print(x.shape, y.shape, torch.equal(x[:, 1:], y[:, :-1]), len(val_data), x.dtype)

# %% batches out of a NumPy memory map
import os, tempfile
import numpy as np
import torch
path = os.path.join(tempfile.mkdtemp(), "train.bin")
np.arange(100, dtype=np.uint16).tofile(path)
data = np.memmap(path, dtype=np.uint16, mode='r')
ix = torch.tensor([0, 50, 90])
x = torch.stack([torch.from_numpy((data[i:i + 4]).astype(np.int64)) for i in ix])
y = torch.stack([torch.from_numpy((data[i + 1:i + 5]).astype(np.int64)) for i in ix])
print(x, y)

# %% normalised columns
import torch
x = torch.tensor([[1.0, 200.0], [2.0, 400.0], [3.0, 900.0]])
mu, sigma = x.mean(dim=0), x.std(dim=0)
z = (x - mu) / sigma
print(z, z.mean(0).abs().max().item() < 1e-6)

# %% a confusion matrix
import torch
pred, true = torch.tensor([0, 1, 2, 1, 0]), torch.tensor([0, 2, 2, 1, 1])
cm = torch.zeros(3, 3, dtype=torch.int64)
for t, p in zip(true, pred):
    cm[t, p] += 1
print(cm, cm.diag().sum().item() / cm.sum().item(), (cm.diagonal() / cm.sum(1)).tolist())

# %% top-5 accuracy
import torch
logits = torch.arange(40.0).view(4, 10).sin()
target = torch.tensor([1, 5, 9, 0])
_, top5 = logits.topk(5, 1, True, True)
correct = top5.eq(target.view(-1, 1).expand_as(top5))
print(correct.any(dim=1).float().mean().item(), top5)
