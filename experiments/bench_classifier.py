"""Training images a second of the residual classifier, against a PyTorch loop of the same network on the same device.

  python -m experiments.bench_classifier

Both train from the same parameters on the same batches of solar cells, already in memory, by AdamW on the cross
entropy, without augmentation, and must come to the same losses. Ours is the step as the task runs it (pmap, running
mean of the parameters); the peer (torch_classifier.py) runs with the faster of its two memory layouts. They take turns;
compile time is left out. Forward passes alone tell on which side of the gradient a difference lies. Without PyTorch,
the extra `torch`, ours alone is timed. --augment times ours with the config's augmentation too.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from configs import classifier
from defect_jax import parallel
from defect_jax.config import UserError
from defect_jax.data import batches, dataset
from defect_jax.models import cnn
from defect_jax.models.normalization import Normalizer
from defect_jax.training import classifier as training
from defect_jax.training.feeds import ResidentFeed
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_integer('rounds', 15, 'How many times both take turns.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('per_turn', 5, 'Steps a turn.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('size', 64, 'Side of the images.', lower_bound=32, flag_values=FLAGS)
flags.DEFINE_boolean('augment', False, 'Whether to time ours with augmentation too.', flag_values=FLAGS)

Images, Labels = Float[np.ndarray, 'n s s 1'], Int[np.ndarray, ' n']
_APART = 0.01  # losses of the first steps, at most


def photos(config: ConfigDict) -> tuple[Images, Labels]:
  """Images and labels of the pool, good ones and as many defective ones."""
  data = config.data
  good, bad = (dataset.load(source='elpv', part='pool', defects=(label,), few_shot=config.batch, size=data.size,
                            channels=data.channels).images() for label in ('good', 'defective'))
  return np.concatenate([good, bad]), np.repeat([0, 1], [len(good), len(bad)]).astype(np.int32)


def in_turn(batch: int, count: int) -> Callable:
  """`draw` of feeds.ResidentFeed that both sides can follow: rows one after the other."""
  def draw(images, key, step, size):
    del images, key
    return (step * batch + jnp.arange(size)) % count, jnp.ones(size, jnp.float32)
  return draw


class Ours:
  """Our loop from some parameters; `losses` of its steps."""

  def __init__(self, config: ConfigDict, model: cnn.Classifier, params: dict, normalizer: Normalizer, images: Images,
               labels: Labels, augment: bool = False):
    light = config.data.augment.to_dict() if augment else {}
    trainer = training.trainer_of(model, light, jax.random.key(0), params, **config.optimizer)
    self._feed = ResidentFeed(trainer, {'image': images, 'label': labels}, config.batch, jax.random.key(1), 1,
                              batches.gather_columns, in_turn(config.batch, len(labels)))
    self._state, self.losses = parallel.replicate(trainer.init(params, frozen={'normalizer': normalizer})), []
    self._inputs = jnp.asarray(images[:config.batch])
    self._logits = parallel.compiled(jax.jit(lambda of: model.logits(params, normalizer, of)).lower(self._inputs))

  def __call__(self, steps: int) -> None:
    self._state, metrics = self._feed.advance(self._state, steps)
    self.losses += metrics['train/loss'].tolist()

  def forward(self, steps: int) -> None:
    """The network alone, as often."""
    for _ in range(steps):
      self._logits(self._inputs).block_until_ready()


class Peer:
  """PyTorch's loop on the same batches."""

  def __init__(self, config: ConfigDict, model: cnn.Classifier, params: dict, normalizer: Normalizer, images: Images,
               labels: Labels, device: str, channels_last: bool):
    import torch

    from experiments import torch_classifier
    self._torch, self._batch, self.losses = torch, config.batch, []
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = (images - np.asarray(normalizer.mean)) / np.asarray(normalizer.std)
    self._images = torch.tensor(images.transpose(0, 3, 1, 2).copy()).to(device, memory_format=layout)
    self._labels = torch.tensor(labels.astype(np.int64), device=device)
    self._network = torch_classifier.Classifier(model).load(params).to(device, memory_format=layout)
    self._optimizer = torch_classifier.optimizer_of(self._network, config.optimizer)

  def __call__(self, steps: int) -> None:
    loss_of = self._torch.nn.functional.cross_entropy
    for _ in range(steps):
      rows = (len(self.losses) * self._batch + np.arange(self._batch)) % len(self._labels)
      loss = loss_of(self._network(self._images[rows]), self._labels[rows])
      self._optimizer.zero_grad(set_to_none=True)
      loss.backward()
      self._optimizer.step()
      self.losses.append(float(loss.detach()))

  def forward(self, steps: int) -> None:
    """As Ours.forward."""
    with self._torch.no_grad():
      for _ in range(steps):
        float(self._network(self._images[:self._batch])[0, 0])


def main(flags: flags.FlagValues) -> None:
  config = classifier.get_config('tiny' if flags.quick else None)
  config.data.size, config.model.dropout = 32 if flags.quick else flags.size, 0.
  if flags.quick:
    flags.rounds, flags.per_turn = 2, 1
  bench.print_load()
  images, labels = photos(config)
  model = cnn.Classifier('resnet', 2, images.shape[1:], config.model.widths, config.model.blocks)
  shared = config, model, jax.device_get(model.init(jax.random.key(0))), training.normalizer_of('resnet', images), \
      images, labels
  sides, peers = {'ours': Ours(*shared)}, {}
  if flags.augment:
    sides['ours, augmented'] = Ours(*shared, augment=True)
  if device := bench.torch_device():
    peers = {f'PyTorch, {words}': Peer(*shared, device, last) for words, last in (('NCHW', False), ('NHWC', True))}
  forward = {f'{name}, forward alone': side.forward for name, side in ({'ours': sides['ours']} | peers).items()}
  turns = {name: functools.partial(turn, flags.per_turn) for name, turn in (sides | peers | forward).items()}
  seconds = bench.alternate(turns, flags.rounds)
  bench.print_times(seconds, flags.per_turn)
  for name, peer in peers.items():
    apart = np.abs(np.subtract(sides['ours'].losses[:10], peer.losses[:10])).max()
    print(f'losses of the first 10 steps of ours and of {name} differ by at most {apart:.1e}')
    if apart > _APART:
      raise UserError(f'ours and {name} come to other losses, so they do not train the same network')
  median = {name: float(np.median(of)) / flags.per_turn for name, of in seconds.items()}
  bench.print_result('bench_classifier', median['ours'], min((median[name] for name in peers), default=None),
                     ('jaxlib', 'flax', *(('torch',) if peers else ())),
                     images_per_second={name: config.batch / of for name, of in median.items()})


if __name__ == '__main__':
  command.run(main, FLAGS)
