"""From the streams of a config to the parameters they reach."""

import jax
import pytest

from configs import vae_joint, vae_partition, vae_split
from defect_jax.config import UserError
from defect_jax.models.vae import Vae
from defect_jax.training import routing


def settings(**streams):
  """name=(loss, params, optimizer, lr)."""
  return {name: dict(zip(('loss', 'params', 'optimizer', 'lr'), stream, strict=True))
          for name, stream in streams.items()}


def test_patterns_match_whole_paths(small):
  streams, _ = routing.resolve(settings(E=('kld', 'encoder/mean/(bias|kernel)', 'sgd', 0.1)), small.params)
  assert streams['E'].paths == ('encoder/mean/bias', 'encoder/mean/kernel')
  with pytest.raises(UserError, match=r"streams\.E\.params = 'encoder': matches none of the parameters.*decoder/"):
    routing.resolve(settings(E=('kld', 'encoder', 'sgd', 0.1)), small.params)


@pytest.mark.parametrize(('stream', 'message'), [
  (('kdl', 'encoder/.*', 'sgd', 0.1), r"streams\.E\.loss = 'kdl': unknown \(did you mean kld\?\)"),
  (('kld', 'encoder/.*', 'adamm', 0.1), r"streams\.E\.optimizer = 'adamm': unknown \(did you mean adam\?\)"),
  (('kld', 'encoder/(', 'sgd', 0.1), r"streams\.E\.params = 'encoder/\(': not a regular expression"),
])
def test_mistakes_in_streams(small, stream, message):
  with pytest.raises(UserError, match=message):
    routing.resolve(settings(E=stream), small.params)


@pytest.mark.parametrize('blocks', [0, 1])
def test_partitions_cover_every_parameter_exactly_once(blocks):
  params = parameters(blocks)
  streams, frozen = routing.resolve(vae_partition.get_config().streams.to_dict(), params)
  taken = sorted(path for stream in streams.values() for path in stream.paths)
  assert frozen == [] and taken == sorted(routing.flat(params))
  assert set(streams['E1'].paths) == {f'encoder/{head}/{leaf}' for head in ('mean', 'logvar')
                                      for leaf in ('bias', 'kernel')}


@pytest.mark.parametrize('blocks', [0, 1])
def test_split_and_joint_reach_every_parameter(blocks):
  params = parameters(blocks)
  streams, frozen = routing.resolve(vae_split.get_config().streams.to_dict(), params)
  encoder = {path for path in routing.flat(params) if path.startswith('encoder/')}
  assert frozen == [] and set(streams['E1'].paths) == set(streams['E2'].paths) == encoder
  streams, frozen = routing.resolve(vae_joint.get_config().streams.to_dict(), params)
  assert frozen == [] and list(streams['joint'].paths) == sorted(routing.flat(params))


def parameters(blocks):
  """Shapes of the parameters of the configs' VAE."""
  model = vae_split.get_config('tiny').model.to_dict() | {'blocks': blocks}
  return jax.eval_shape(Vae(size=32, channels=1, **model).init, jax.random.key(0))
