"""Original photos, a conventional VAE and the proposed one, side by side on real solar cells, at equal budget.

  python -m experiments.thesis_figure3

Both methods have the same network, photos, steps and number of settings tried: the conventional one the weight of its
KLD (beta), the proposed one its KLD target, with seed 0. For each of two samplers, prior and mosaic, the setting with
the lowest KID on the dev part is taken. With it each of --seeds seeds is trained, and what is published is measured
on the final part: KID, novelty and memorised fraction of --count images, and the MSE of held-out photos, as means
with 95 % intervals over the seeds (Student's t). Writes figure3.png and figure3.json to --root. Finished runs are not
run again; --tiny tries the command.
"""

import json
from pathlib import Path

import jax
import numpy as np
from absl import flags
from scipy import stats

from configs import vae_sharp
from defect_jax import losses
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps import jobs
from defect_jax.trained.vae import open_vae
from experiments import command

FLAGS = flags.FLAGS
flags.DEFINE_integer('seeds', 5, 'Seeds of each method.', lower_bound=2)
flags.DEFINE_integer('at_once', 1, 'Jobs that run side by side, with a share of the CPUs each.', lower_bound=1)
flags.DEFINE_integer('count', 500, 'Images of each cell.', lower_bound=2)
flags.DEFINE_string('root', 'runs/thesis_figure3', 'Folder of the runs.')
flags.DEFINE_boolean('tiny', False, 'Tiny jobs, to try the command.')

# Method: its config, and the settings tried on the dev part.
_METHODS = {'conventional': ('vae_joint', 'control.beta', (0.03, 0.1, 0.3, 1.0)),
            'proposed': ('vae_sharp', 'targets.kld', (4.0, 8.0, 16.0, 32.0))}
_SAMPLERS = 'prior', 'mosaic'
_OF_IMAGES = 'kid', 'kid_of_training', 'novelty', 'memorised_fraction'
_MEASURES = (*_OF_IMAGES, 'held_out_mse', 'training_mse')
_SHOWN = 8


def cell(method, setting, seed, part, sampler):
  """Trains a VAE, makes images by a sampler and measures them on a part; (workdir of the VAE, measures)."""
  config, key, _ = _METHODS[method]
  tiny = ':tiny' if FLAGS.tiny else ''
  vae = Path(FLAGS.root) / f'{method}_{setting:g}_seed_{seed}'
  trained_summary = jobs.run(f'configs/{config}.py{tiny}', vae, {key: setting, 'seed': seed} | steps())
  tiny = ',tiny' if FLAGS.tiny else ''
  made = jobs.run(f'configs/generate.py:{sampler}{tiny}', f'{vae}_{part}_{sampler}',
                  {'vae': vae, 'seed': seed, 'measure.part': part} | count())
  return vae, {name: made[name] for name in _OF_IMAGES} | {
    'held_out_mse': held_out_mse(vae, part, seed), 'training_mse': trained_summary['mse']}


def steps():
  """Both methods train for as long as the proposed one's config says."""
  return {} if FLAGS.tiny else {'steps.total': vae_sharp.get_config().steps.total}


def count():
  return {} if FLAGS.tiny else {'count': FLAGS.count}


def held_out_mse(workdir, part, seed):
  """MSE of decodings of sampled z of all photos of a part."""
  vae = open_vae(workdir)
  photos = vae.photos(part=part, few_shot=0, max_broken=1.).images()
  posterior = vae.encode(photos)
  z = posterior.sample(jax.random.normal(jax.random.key(seed), posterior.mean.shape))
  return float(np.mean(losses.mse(jax.jit(vae.decode)(z), photos)))


def cells(method, sampler, part, pairs):
  """What `cell` returns for each pair of setting and seed."""
  return jobs.each(lambda pair: cell(method, *pair, part, sampler), pairs, FLAGS.at_once)


def choose(method, sampler):
  """The setting with the lowest KID on the dev part, and {setting: measures}."""
  settings = _METHODS[method][2]
  found = cells(method, sampler, 'dev', [(setting, 0) for setting in settings])
  tried = {setting: measures for setting, (_, measures) in zip(settings, found, strict=True)}
  return min(tried, key=lambda setting: tried[setting]['kid']), tried


def interval(values):
  """Mean and half the width of its 95 % interval."""
  half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(half)


def figure(workdirs):
  """Photos, then reconstructions and prior samples of each method: a row each."""
  rows, key = [], jax.random.key(1)
  for number, workdir in enumerate(workdirs.values()):
    vae = open_vae(workdir)
    photos = vae.photos().images()[:_SHOWN]
    decode = jax.jit(vae.decode)
    rows += [] if number else [photos]
    rows += [decode(vae.encode(photos).mean), decode(jax.random.normal(key, (_SHOWN, vae.vae.latent)))]
  return grids.grid(rows)


def main(_):
  root, results, first = Path(FLAGS.root), {}, {}
  for method in _METHODS:
    for sampler in _SAMPLERS:
      setting, tried = choose(method, sampler)
      found = cells(method, sampler, 'final', [(setting, seed) for seed in range(FLAGS.seeds)])
      final = {name: interval([measured[name] for _, measured in found]) for name in _MEASURES}
      results[f'{method}, {sampler}'] = {'setting': setting, 'tried_on_dev': tried, 'final': final}
      first.setdefault(method, found[0][0])
  grids.write_png(root / 'figure3.png', figure(first))
  write_atomic(root / 'figure3.json', json.dumps(results, indent=2) + '\n')
  print(f'| method, sampler | setting | {" | ".join(_MEASURES)} |')
  print('|---' * (2 + len(_MEASURES)) + '|')
  for name, found in results.items():
    words = [f'{mean:.3g} ± {half:.2g}' for mean, half in found['final'].values()]
    print(f'| {name} | {found["setting"]:g} | {" | ".join(words)} |')
  print('figure3.png: photos; reconstructions and prior samples of the conventional VAE; the same of the proposed one')


if __name__ == '__main__':
  command.run(main)
