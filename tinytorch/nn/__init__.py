"""Neural network parts, under PyTorch's names."""
from tinytorch.nn import functional, init, utils
from tinytorch.nn.activations import (
    GELU, LeakyReLU, LogSigmoid, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh,
)
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.convolution import (
    AvgPool1d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d,
)
from tinytorch.nn.embedding import Embedding, LearnedPositions, Rotary, SinusoidalPositions
from tinytorch.nn.layers import Dropout, Flatten, Identity, Linear
from tinytorch.nn.lora import LoRALinear, add_lora, load_lora_state_dict, lora_parameters, lora_state_dict, merge_lora
from tinytorch.nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from tinytorch.nn.module import Module, ModuleDict, ModuleList, Parameter, Sequential
from tinytorch.nn.more_layers import (
    ELU,
    GLU,
    SELU,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    CosineSimilarity,
    GroupNorm,
    Hardtanh,
    HuberLoss,
    KLDivLoss,
    Mish,
    MultiheadAttention,
    ParameterList,
    ReLU6,
    SmoothL1Loss,
    Softsign,
    Unflatten,
)
from tinytorch.nn.normalization import LayerNorm, RMSNorm
from tinytorch.nn.transformer import GPT, MLP, GPTConfig, Transformer, TransformerBlock, TransformerConfig
