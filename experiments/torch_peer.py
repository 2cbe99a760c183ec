"""The split-gradient VAE and its training in plain PyTorch: the peer of parity tests and benchmarks.

All is computed on the mirror image: there PyTorch pads 3 x 3 convolutions of stride 2 as Flax does, without a copy.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from flax import traverse_util
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from defect_jax.models import vae as models_vae
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.training.control import Control

Tensors = Sequence[torch.Tensor]  # like the parameters of a network
_ACTIVATIONS = {'silu': functional.silu, 'gelu': lambda x: functional.gelu(x, approximate='tanh'),
                'relu': functional.relu, 'elu': functional.elu, 'tanh': torch.tanh}
_LOGVAR_CENTER, _LOGVAR_REACH = -3.0, 5.0
_B1, _B2, _EPSILON = 0.9, 0.999, 1e-8
_LARGEST_ERROR, _LARGEST_INTEGRAL = 1.0, 12.0


class Block(nn.Module):
  """models.vae.Block."""

  def __init__(self, width: int, act: Callable):
    super().__init__()
    self.Conv_0, self.Conv_1 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    self._act = act

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x + self.Conv_1(self._act(self.Conv_0(self._act(x))))


class Encoder(nn.Module):
  """models.vae.Encoder; modules have the names of Flax's."""

  def __init__(self, vae: Vae):
    super().__init__()
    self._vae, self._act = vae, _ACTIVATIONS[vae.activation]
    befores = (vae.patch**2 * vae.channels, *vae.widths[1:-1])
    for stage, (before, width) in enumerate(zip(befores, vae.widths[1:], strict=True)):
      self.add_module(f'down_{stage}', nn.Conv2d(before, width, 3, 2, padding=1))
      for block in range(vae.blocks):
        self.add_module(f'block_{stage}_{block}', Block(width, self._act))
    features = vae.widths[-1] * _coarsest(vae)**2
    self.mean, self.logvar = nn.Linear(features, vae.latent), nn.Linear(features, vae.latent)

  def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, C, S, S]
    x = functional.pixel_unshuffle(x, self._vae.patch)
    for stage in range(len(self._vae.widths) - 1):
      x = self._act(getattr(self, f'down_{stage}')(x))
      for block in range(self._vae.blocks):
        x = getattr(self, f'block_{stage}_{block}')(x)
    x = x.flatten(1)
    return self.mean(x), _LOGVAR_CENTER + _LOGVAR_REACH * torch.tanh(self.logvar(x) / _LOGVAR_REACH)


class Decoder(nn.Module):
  """models.vae.Decoder."""

  def __init__(self, vae: Vae):
    super().__init__()
    self._vae, self._act = vae, _ACTIVATIONS[vae.activation]
    self._side = _coarsest(vae)
    self.spread = nn.Linear(vae.latent, self._side**2 * vae.widths[-1])
    for stage, (before, width) in enumerate(zip(vae.widths[::-1], vae.widths[-2::-1], strict=False)):
      for block in range(vae.blocks):
        self.add_module(f'block_{stage}_{block}', Block(before, self._act))
      self.add_module(f'up_{stage}', nn.Conv2d(before, 4 * width, 3, padding=1))
    self.patches = nn.Conv2d(vae.widths[0], vae.patch**2 * vae.channels, 3, padding=1)

  def forward(self, z: torch.Tensor) -> torch.Tensor:  # [B, Z]
    x = self._act(self.spread(z)).reshape(-1, self._vae.widths[-1], self._side, self._side)
    for stage in range(len(self._vae.widths) - 1):
      for block in range(self._vae.blocks):
        x = getattr(self, f'block_{stage}_{block}')(x)
      x = self._act(functional.pixel_shuffle(getattr(self, f'up_{stage}')(x), 2))
    return functional.pixel_shuffle(self.patches(x), self._vae.patch)


def _coarsest(vae):
  return vae.size // models_vae.factor(vae.patch, vae.widths)


def _reordered(path, array, vae):
  """A Flax parameter in the order of this module's, mirrored; only moves values.

  Flax counts row, column, channel within what a vector or a pixel's channels stand for, PyTorch channel, row, column.
  """
  *_, layer, kind = path.split('/')
  side = _coarsest(vae)
  if layer == 'down_0' and kind == 'kernel':
    array = _channel_first(array, -2, vae.patch)
  elif layer.startswith('up_'):
    array = _channel_first(array, -1, 2)
  elif layer == 'patches':
    array = _channel_first(array, -1, vae.patch)
  elif layer == 'spread':
    array = _channel_first(array, -1, side)
  elif layer in ('mean', 'logvar') and kind == 'kernel':
    array = _channel_first(array, -2, side)
  if kind == 'bias':
    return array
  return np.flip(array, (0, 1)).transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _channel_first(array, axis, side):
  """Reorders an axis that counts (row, column, channel) of a square as (channel, row, column) of its mirror image."""
  order = np.arange(array.shape[axis]).reshape(side, side, -1)
  return np.take(array, np.flip(order, (0, 1)).transpose(2, 0, 1).ravel(), axis)


class Model(nn.Module):
  """Encoder and decoder with a copy of Flax parameters.

  channels_last: memory layout of images and kernels.
  """

  def __init__(self, vae: Vae, params: dict, channels_last: bool):
    super().__init__()
    if len(vae.widths) < 2:
      raise ValueError('the peer needs at least two widths')
    self._vae = vae
    self.encoder, self.decoder = Encoder(vae), Decoder(vae)
    leaves = traverse_util.flatten_dict(params, sep='/')
    self._shapes = {path: leaf.shape for path, leaf in leaves.items()}
    own = dict(self.named_parameters())
    assert own.keys() == {_torch_name(path) for path in leaves}
    with torch.no_grad():
      for path, leaf in leaves.items():
        own[_torch_name(path)].copy_(torch.tensor(_reordered(path, np.asarray(leaf), self._vae).copy()))
    self.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

  def as_flax(self, prefix: str, tensors: Tensors) -> dict[str, np.ndarray]:
    """{path: NumPy array} in Flax's order of `tensors`, one for each parameter of `prefix` ('encoder', 'decoder')."""
    names = [f'{prefix}.{name}' for name, _ in getattr(self, prefix).named_parameters()]
    by_name = dict(zip(names, tensors, strict=True))
    arrays = {}
    for path, shape in self._shapes.items():
      if path.startswith(prefix):
        places = _reordered(path, np.arange(math.prod(shape)).reshape(shape), self._vae)
        arrays[path] = np.empty(math.prod(shape), np.float32)
        arrays[path][places.ravel()] = by_name[_torch_name(path)].detach().contiguous().numpy().ravel()
        arrays[path] = arrays[path].reshape(shape)
    return arrays


def _torch_name(path):
  return path.replace('/', '.').replace('.kernel', '.weight')


def mirrored(images: Float[np.ndarray, 'b h w c'] | torch.Tensor) -> torch.Tensor | Float[np.ndarray, 'b h w c']:
  """NumPy images to a tensor `[B, C, H, W]` of the mirror images, or back."""
  if isinstance(images, torch.Tensor):
    return np.flip(images.detach().numpy().transpose(0, 2, 3, 1), (1, 2))
  return torch.tensor(np.flip(np.asarray(images, np.float32), (1, 2)).transpose(0, 3, 1, 2).copy())


def gradients(model: Model, x: torch.Tensor, noise: torch.Tensor,
              scale: float) -> tuple[dict[str, float], dict[str, Tensors]]:
  """Losses and the gradients of E1, E2 and D from one forward pass; the decoder is passed back once.

  x: standardised images `[B, C, S, S]`. noise: `[B, Z]`. scale: of the standardisation.
  """
  encoder, decoder = list(model.encoder.parameters()), list(model.decoder.parameters())
  mean, logvar = posterior = model.encoder(x)
  variance = logvar.exp()
  recon = model.decoder(mean + variance.sqrt() * noise)
  kld = 0.5 * (variance + mean.square() - 1 - logvar).sum(1).mean()
  mse = scale ** 2 * functional.mse_loss(recon, x)
  *for_d, mean_by_mse, logvar_by_mse = torch.autograd.grad(mse, (*decoder, *posterior), retain_graph=True)
  by_kld = torch.autograd.grad(kld, posterior, retain_graph=True)
  for_e1 = torch.autograd.grad(posterior, encoder, by_kld, retain_graph=True)
  for_e2 = torch.autograd.grad(posterior, encoder, (mean_by_mse, logvar_by_mse))
  return {'kld': kld.item(), 'mse': mse.item()}, {'E1': for_e1, 'E2': for_e2, 'D': for_d}


class Pi:
  """Policy `pi` of training.control for the streams E1, E2 and D, in Python's numbers, which is fastest on a CPU.

  The targets stay, so there is no slew.
  """

  def __init__(self, control: Control, targets: dict[str, float]):
    self._control, self.targets, self._integral, self._smooth_mse = control, targets, 0.0, _LARGEST_ERROR

  def __call__(self, values: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Weights of the losses and gains of the streams after losses `values`."""
    control, targets = self._control, self.targets
    error = {name: math.log(values[name] / target) for name, target in targets.items()}
    error = {name: min(max(e, -_LARGEST_ERROR), _LARGEST_ERROR) for name, e in error.items()}
    integral = self._integral + control.integral * error['kld']
    self._integral = min(max(integral, -_LARGEST_INTEGRAL), _LARGEST_INTEGRAL)
    self._smooth_mse = control.smoothing * self._smooth_mse + (1 - control.smoothing) * error['mse']
    for_kld = math.exp(control.proportional * error['kld'] + self._integral)
    weights = {'kld': control.weights['kld'] * for_kld / targets['kld'], 'mse': control.weights['mse'] / targets['mse']}
    for_mse = control.speed['mse'] * max(self._smooth_mse, 0)
    of_encoder = min(for_mse + control.speed['kld'] * abs(error['kld']), 1)
    return weights, {'E1': of_encoder, 'E2': of_encoder, 'D': min(for_mse, 1)}


class AdamShared:
  """`adam_shared` of training.routing for E1, E2 and D.

  Parameters of a network become views of one vector, and so do the moments: on a CPU a few long operations are faster
  than torch._foreach_*, which goes through the tensors one by one.
  """

  def __init__(self, model: Model, lr: Mapping[str, float]):
    self._lr, self._count = lr, 0
    self._vectors = {'E': _flattened(model.encoder), 'D': _flattened(model.decoder)}
    self._moments = {name: [torch.zeros_like(self._vectors[name[0]]) for _ in range(3)] for name in ('E1', 'E2', 'D')}

  @torch.no_grad()
  def step(self, grads: Mapping[str, Tensors], weights: Mapping[str, float], gains: Mapping[str, float]) -> None:
    """Moves the parameters."""
    self._count += 1
    for name, tensors in grads.items():
      first, second, recent = self._moments[name]
      grad = torch.cat([_in_memory_order(tensor) for tensor in tensors])
      first.lerp_(grad, 1 - _B1)
      square = grad.square()
      second.lerp_(square, 1 - _B2)
      recent.lerp_(square, 1 - _B1)
    by_loss = {'E1': weights['kld'], 'E2': weights['mse'], 'D': weights['mse']}
    for network, names in (('E', ('E1', 'E2')), ('D', ('D',))):
      rates = [-self._lr[n] * gains[n] * by_loss[n] / (1 - _B1 ** self._count) for n in names]
      if any(rates):
        direction = _weighted_sum([self._moments[n][0] for n in names], rates)
        squares = [self._square(n) for n in names]
        root = _weighted_sum(squares, [by_loss[n] ** 2 for n in names]).sqrt_().add_(_EPSILON)
        self._vectors[network].addcdiv_(direction, root)

  def _square(self, name):
    """The larger of Adam's mean square and the recent one, both bias-corrected."""
    _, second, recent = self._moments[name]
    return torch.maximum(second / (1 - _B2 ** self._count), recent / (1 - _B1 ** self._count))


def _weighted_sum(vectors, factors):
  total = vectors[0] * factors[0]
  for vector, factor in zip(vectors[1:], factors[1:], strict=True):
    total.add_(vector, alpha=factor)
  return total


def _in_memory_order(tensor):
  """A view of a kernel as a vector, whatever its memory layout."""
  if tensor.dim() == 4 and not tensor.is_contiguous():
    tensor = tensor.permute(0, 2, 3, 1)
  return tensor.reshape(-1)


def _flattened(module):
  """Moves a module's parameters into one vector, in their memory layouts, and returns it."""
  parameters = list(module.parameters())
  vector = torch.cat([_in_memory_order(p.detach()) for p in parameters])
  start = 0
  for p in parameters:
    p.data = torch.as_strided(vector, p.shape, p.stride(), start)
    start += p.numel()
  return vector


class Peer:
  """A training run on photos that lie ready in memory; standardised once, not in every step.

  params: initial ones. batch: photos per step; at most all. lr: of each stream. control: policy pi. channels_last:
  memory layout.
  """

  def __init__(self, vae: Vae, params: dict, normalizer: Normalizer, images: Float[np.ndarray, 'n h w c'], batch: int,
               lr: Mapping[str, float], control: Control, targets: dict[str, float], channels_last: bool):
    if control.policy != 'pi':
      raise ValueError(f'{control.policy}: the peer has the policy pi only')
    self.model = Model(vae, params, channels_last)
    self._scale, self._latent, self._batch = float(normalizer.std), vae.latent, batch
    x = mirrored((np.asarray(images) - np.asarray(normalizer.mean)) / self._scale)
    self._x = x.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    self._control = Pi(control, targets)
    self._optimizer = AdamShared(self.model, lr)

  def step(self, noise: torch.Tensor | None = None) -> dict[str, float]:
    """One step; returns its losses."""
    x = self._x
    if self._batch < len(x):
      x = x[torch.randperm(len(x))[:self._batch]]
    noise = torch.randn(len(x), self._latent) if noise is None else noise
    values, grads = gradients(self.model, x, noise, self._scale)
    self._optimizer.step(grads, *self._control(values))
    return values
