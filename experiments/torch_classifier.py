"""The residual classifier and its training in plain PyTorch: the peer of bench_classifier and of its parity test."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flax import traverse_util
from torch import nn
from torch.nn import functional

from defect_jax.models import cnn


def same_padded(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
  """x with zeros as Flax's padding SAME adds them: where their number is odd, the one more at the end."""
  pads = []
  for side in reversed(x.shape[2:]):
    missing = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    pads += [missing // 2, missing - missing // 2]
  return functional.pad(x, pads)


class Conv(nn.Conv2d):
  """Flax's Conv with padding SAME and without bias."""

  def __init__(self, before: int, after: int, kernel: int, stride: int = 1):
    super().__init__(before, after, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=False)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return super().forward(x if self.stride == (1, 1) else same_padded(x, self.kernel_size[0], self.stride[0]))


class Block(nn.Module):
  """models.cnn.Block."""

  def __init__(self, before: int, width: int, stride: int):
    super().__init__()
    self.conv_0, self.conv_1 = Conv(before, width, 3, stride), Conv(width, width, 3)
    self.norm_0, self.norm_1 = _norm(width), _norm(width)
    self.skip = Conv(before, width, 1, stride) if before != width or stride > 1 else None

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = self.norm_1(self.conv_1(functional.relu(self.norm_0(self.conv_0(x)))))
    return functional.relu(y + (x if self.skip is None else self.skip(x)))


class Classifier(nn.Module):
  """models.cnn.Classifier of the kind resnet, without hidden layer and dropout; modules have the names of Flax's."""

  def __init__(self, model: cnn.Classifier):
    super().__init__()
    widths = model.widths
    self.stem, self.stem_norm = Conv(model.shape[-1], widths[0], 3, 2), _norm(widths[0])
    self.names, before = [], widths[0]
    for stage, width in enumerate(widths):
      for block in range(model.blocks):
        self.names.append(f'block_{stage}_{block}')
        self.add_module(self.names[-1], Block(before, width, 2 if stage and not block else 1))
        before = width
    self.logits = nn.Linear(2 * before, model.classes)

  def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, S, S], standardised
    x = functional.relu(self.stem_norm(self.stem(x)))
    for name in self.names:
      x = getattr(self, name)(x)
    return self.logits(torch.cat([x.mean((2, 3)), x.amax((2, 3))], -1))

  def load(self, params: Mapping[str, Any]) -> 'Classifier':
    """Takes over parameters of models.cnn.Classifier."""
    flat = traverse_util.flatten_dict(params['network'] | params['head'])
    own = dict(self.named_parameters())
    with torch.no_grad():
      for (*path, name), value in flat.items():
        value = np.asarray(value)
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        own['.'.join([*path, 'bias' if name == 'bias' else 'weight'])].copy_(torch.tensor(value.copy()))
    return self


def optimizer_of(network: nn.Module, setting: Mapping[str, float]) -> torch.optim.Optimizer:
  """AdamW with optax's defaults; weight decay is for matrices and kernels alone. setting: 'lr', 'weight_decay'."""
  kernels = [of for of in network.parameters() if of.ndim > 1]
  others = [of for of in network.parameters() if of.ndim <= 1]
  # PyTorch multiplies the decay by the rate too, as optax does.
  return torch.optim.AdamW([{'params': kernels, 'weight_decay': setting['weight_decay']},
                            {'params': others, 'weight_decay': 0.}], lr=setting['lr'], betas=(0.9, 0.999), eps=1e-8)


def _norm(width):
  # Flax's epsilon.
  return nn.GroupNorm(math.gcd(8, width), width, eps=1e-6)
