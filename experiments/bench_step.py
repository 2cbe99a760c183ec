"""What three gradients cost: a step of E1, E2 and D against a joint step of the same network and optimizer.

  python -m experiments.bench_step

Both run as in the default job: Trainer.step under pmap, resident photos. Beside them a variant that passes the whole
network once for each loss, which is what the streams would cost if written down naively, and the cost of a pmapped
call as such. Last line: `overhead` = split / joint of 64 px; ours is the split step, the peer the two full passes.
"""

import functools
from collections.abc import Callable, Mapping
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from configs import vae_split
from defect_jax import parallel
from defect_jax.training import routing
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_multi_integer('sizes', [64, 128], 'Sides of the square images; the first one counts.', flag_values=FLAGS)
flags.DEFINE_integer('rounds', 25, 'How many times the variants take turns.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('per_turn', 5, 'Steps a turn.', lower_bound=1, flag_values=FLAGS)


def config_of(size: int, joint: bool, quick: bool) -> ConfigDict:
  """The default job with images of another size, or all of it moved by one stream with the same optimizer."""
  config = vae_split.get_config('tiny' if quick else None)
  config.data.size = size
  if joint:
    config.streams = ConfigDict({'joint': config.streams.D.to_dict() | {'loss': 'elbo', 'params': '.*'}})
  return config


def two_passes(outputs: Callable, losses: Mapping, streams: Mapping, params: dict, batch: dict,
               weight: Float[Array, ' b']) -> tuple[dict, dict]:
  """routing.gradients by a full forward and backward pass for each loss; only for streams by kld and mse."""
  def total(params, factors):
    every = {**batch, **outputs(params)}
    values = {name: jnp.sum(weight * losses[name].value(every)) for name in ('kld', 'mse')}
    return sum(factors[name] * values[name] for name in values), values

  by_loss, values = {}, None
  for loss in ('kld', 'mse'):
    # Without the barrier the compiler would see what is zero or done already, and make one pass of the two.
    own, factors = jax.lax.optimization_barrier((params, {n: jnp.float32(n == loss) for n in ('kld', 'mse')}))
    (_, values), grads = jax.value_and_grad(total, has_aux=True)(own, factors)
    by_loss[loss] = routing.flat(grads)
  return values, {name: {path: by_loss[stream.loss][path] for path in stream.paths}
                  for name, stream in streams.items()}


def turn_of(job: bench.Job, steps: int) -> Callable[[], dict]:
  """A function that makes the next steps of a job, compiled by its first call here."""
  state, feed = job.feed()
  state, _ = feed.advance(state, 1)
  box = [state]

  def turn():
    box[0], metrics = feed.advance(box[0], steps)
    return metrics
  return turn


def times_of(size: int, rounds: int, steps: int, quick: bool) -> bench.Times:
  """Seconds a turn of split, joint and two full passes."""
  split, joint = (bench.Job.of(config_of(size, joint, quick)) for joint in (False, True))
  turns = {'split': turn_of(split, steps), 'joint': turn_of(joint, steps)}
  with mock.patch.object(routing, 'gradients', two_passes):
    turns['two full passes'] = turn_of(split, steps)
  return bench.alternate(turns, rounds)


def call_times(rounds: int, calls: int = 50) -> bench.Times:
  """Seconds of empty calls by pmap and by jit."""
  by_pmap, by_jit = parallel.pmap(lambda x: x + 1), jax.jit(lambda x: x + 1)
  x = parallel.replicate(jnp.zeros(()))

  def repeat(function):
    for _ in range(calls):
      jax.block_until_ready(function(x))
  functions = {'pmap': by_pmap, 'jit': by_jit}
  times = bench.alternate({n: functools.partial(repeat, f) for n, f in functions.items()}, rounds)
  return {f'an empty call by {name}': values / calls for name, values in times.items()}


def main(flags: flags.FlagValues) -> None:
  if flags.quick:
    flags.sizes, flags.rounds, flags.per_turn = [32], 2, 1
  bench.print_load()
  overheads, first = {}, None
  for size in flags.sizes:
    seconds = times_of(size, flags.rounds, flags.per_turn, flags.quick)
    bench.print_times({f'{size} px, {name}': values for name, values in seconds.items()}, flags.per_turn)
    # The ratio within each turn is steadier than that of the medians, since both meet the same load.
    overheads[str(size)] = float(np.median(seconds['split'] / seconds['joint']))
    naive = float(np.median(seconds['two full passes'] / seconds['joint']))
    print(f'{size} px: split / joint {overheads[str(size)]:.3f}, two full passes / joint {naive:.3f}', flush=True)
    first = first or seconds
  calls = call_times(flags.rounds)
  bench.print_times(calls)
  split, naive = (float(np.median(first[name])) / flags.per_turn for name in ('split', 'two full passes'))
  bench.print_result('bench_step', split, naive, ('jaxlib', 'flax', 'optax'), overhead=overheads[str(flags.sizes[0])],
                     overheads=overheads, pmap_call=float(np.median(calls['an empty call by pmap'])))


if __name__ == '__main__':
  command.run(main, FLAGS)
