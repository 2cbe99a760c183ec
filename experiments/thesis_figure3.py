"""Original photos, a conventional VAE and the proposed one, side by side on real solar cells, at equal budget.

  python -m experiments.thesis_figure3

Both methods have the same network, photos, steps and number of settings tried: the conventional one the weight of its
KLD (beta), the proposed one its KLD target, with seed 0. For each of two samplers, prior and mosaic, the setting with
the lowest KID on the dev part is taken. With it each of --seeds seeds is trained, and what is published is measured
on the final part: KID, novelty and memorised fraction of --count images, and the MSE of held-out photos, as means
with 95 % intervals over the seeds (Student's t). Writes figure3.png and figure3.json to --root. Finished runs are not
run again; --tiny tries the command.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from jaxtyping import UInt8
from scipy import stats

from configs import vae_sharp
from defect_jax import losses
from defect_jax.report import grids
from defect_jax.runs.atomic import write_atomic
from defect_jax.sweeps.job import Job
from defect_jax.sweeps.study import Executor, Study, Summaries
from defect_jax.trained.vae import open_vae
from experiments import command, results

SEEDS = 5
# Method: its config, and the settings tried on the dev part.
METHODS = {'conventional': ('vae_joint', 'control.beta', (0.03, 0.1, 0.3, 1.0)),
           'proposed': ('vae_sharp', 'targets.kld', (4.0, 8.0, 16.0, 32.0))}
SAMPLERS = 'prior', 'mosaic'
_OF_IMAGES = 'kid', 'kid_of_training', 'novelty', 'memorised_fraction'
_MEASURES = (*_OF_IMAGES, 'held_out_mse', 'training_mse')
_SHOWN = 8

Measures = dict[str, Any]
Cell = tuple[str, str]  # method, sampler


class Budget(NamedTuple):
  """What both methods have in common: the folder of their runs, how many images are made, whether jobs are tiny."""
  root: Path
  count: int = 500
  tiny: bool = False


FLAGS = command.define('runs/thesis_figure3', tiny=command.TINY, at_once=True, publish=True)
flags.DEFINE_integer('seeds', SEEDS, 'Seeds of each method.', lower_bound=2, flag_values=FLAGS)
flags.DEFINE_integer('count', Budget._field_defaults['count'], 'Images of each cell.', lower_bound=2, flag_values=FLAGS)


def job(method: str, sampler: str, setting: float, seed: int, part: str, budget: Budget) -> Job:
  """Makes images by a sampler and measures them on a part; it needs the training of its VAE.

  Both methods train for as long as the proposed one's config says.
  """
  config, key, _ = METHODS[method]
  steps = {} if budget.tiny else {'steps.total': vae_sharp.get_config().steps.total}
  count = {} if budget.tiny else {'count': budget.count}
  vae = Job(f'configs/{config}.py{":tiny" * budget.tiny}', budget.root / f'{method}_{setting:g}_seed_{seed}',
            {key: setting, 'seed': seed} | steps)
  return Job(f'configs/generate.py:{sampler}{",tiny" * budget.tiny}', Path(f'{vae.workdir}_{part}_{sampler}'),
             {'vae': vae.workdir, 'seed': seed, 'measure.part': part} | count, (vae,))


def measures(done: Job, summaries: Summaries) -> Measures:
  """The figures of a cell, by the summaries of its VAE and of its images."""
  (vae,), made = done.needs, summaries[done.workdir]
  return {name: made[name] for name in _OF_IMAGES} | {
      'held_out_mse': held_out_mse(vae.workdir, done.settings['measure.part'], done.settings['seed']),
      'training_mse': summaries[vae.workdir]['mse']}


def held_out_mse(workdir: Path, part: str, seed: int) -> float:
  """MSE of decodings of sampled z of all photos of a part."""
  vae = open_vae(workdir)
  photos = vae.photos(part=part, few_shot=0, max_broken=1.).images()
  posterior = vae.encode(photos)
  z = posterior.sample(jax.random.normal(jax.random.key(seed), posterior.mean.shape))
  return float(np.mean(losses.mse(jax.jit(vae.decode)(z), photos)))


def tried(budget: Budget) -> Study[dict[Cell, dict[float, Measures]]]:
  """{(method, sampler): {setting: measures}} on the part dev, by seed 0."""
  jobs = {cell: {setting: job(*cell, setting, 0, 'dev', budget) for setting in METHODS[cell[0]][2]}
          for cell in itertools.product(METHODS, SAMPLERS)}
  return Study('thesis_figure3_dev', [each for by_setting in jobs.values() for each in by_setting.values()],
               lambda summaries: {cell: {setting: measures(each, summaries) for setting, each in by_setting.items()}
                                  for cell, by_setting in jobs.items()})


def chosen(on_dev: Mapping[float, Measures]) -> float:
  """The setting with the lowest KID."""
  return min(on_dev, key=lambda setting: on_dev[setting]['kid'])


def final(settings: Mapping[Cell, float], seeds: int, budget: Budget) -> Study[dict[Cell, list[Measures]]]:
  """{(method, sampler): measures of each seed} on the part final."""
  jobs = {cell: [job(*cell, setting, seed, 'final', budget) for seed in range(seeds)]
          for cell, setting in settings.items()}
  return Study('thesis_figure3', [each for of_cell in jobs.values() for each in of_cell],
               lambda summaries: {cell: [measures(each, summaries) for each in of_cell]
                                  for cell, of_cell in jobs.items()})


def interval(values: Sequence[float]) -> tuple[float, float]:
  """Mean and half the width of its 95 % interval."""
  half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
  return float(np.mean(values)), float(half)


def run(seeds: int, budget: Budget, execute: Executor) -> dict[str, dict[str, Any]]:
  """{'method, sampler': its setting, what was tried on dev, and its figures on final}; writes picture and JSON."""
  on_dev = tried(budget).run(execute)
  settings = {cell: chosen(on_dev[cell]) for cell in on_dev}
  measured = final(settings, seeds, budget).run(execute)
  outcomes = {', '.join(cell): {
      'setting': settings[cell], 'tried_on_dev': on_dev[cell],
      'final': {name: interval([each[name] for each in measured[cell]]) for name in _MEASURES}} for cell in on_dev}
  first = [job(method, SAMPLERS[0], settings[method, SAMPLERS[0]], 0, 'final', budget).needs[0].workdir
           for method in METHODS]
  grids.write_png(budget.root / 'figure3.png', figure(first))
  write_atomic(budget.root / 'figure3.json', json.dumps(outcomes, indent=2) + '\n')
  return outcomes


def figure(workdirs: Sequence[Path]) -> UInt8[np.ndarray, 'h w c']:
  """Photos, then reconstructions and prior samples of each method: a row each."""
  rows, key = [], jax.random.key(1)
  for number, workdir in enumerate(workdirs):
    vae = open_vae(workdir)
    photos = vae.photos().images()[:_SHOWN]
    decode = jax.jit(vae.decode)
    rows += [] if number else [photos]
    rows += [decode(vae.encode(photos).mean), decode(jax.random.normal(key, (_SHOWN, vae.vae.latent)))]
  return grids.grid(rows)


def table(outcomes: Mapping[str, Mapping[str, Any]]) -> results.Table:
  """A row for each method and sampler, with all its figures."""
  return results.Table(['method, sampler', 'setting', *(name.replace('_', ' ') for name in _MEASURES)], [
      [name, f'{outcome["setting"]:g}', *('{:.3g} ± {:.2g}'.format(*outcome['final'][key]) for key in _MEASURES)]
      for name, outcome in outcomes.items()])


def published(outcomes: Mapping[str, Mapping[str, Any]]) -> results.Table:
  """The table of docs/results.md."""
  shown = {'kid': ('KID', 2), 'novelty': ('novelty', 2), 'memorised_fraction': ('memorised', 2),
           'held_out_mse': ('MSE of held-out photos', 4)}
  rows = [[name.replace('proposed', 'split'), f'{"KLD" if "proposed" in name else "beta"} {outcome["setting"]:g}',
           *('{0:.{2}f} ± {1:.{2}f}'.format(*outcome['final'][key], digits) for key, (_, digits) in shown.items())]
          for name, outcome in outcomes.items()]
  return results.Table(['method, sampler', 'setting', *(words for words, _ in shown.values())], rows)


def main(flags: flags.FlagValues) -> None:
  outcomes = run(flags.seeds, Budget(Path(flags.root), flags.count, flags.tiny), command.executor(flags.at_once))
  print(table(outcomes).markdown())
  print('figure3.png: photos; reconstructions and prior samples of the conventional VAE; the same of the proposed one')
  if flags.publish:
    results.publish('thesis_figure3', published(outcomes), outcomes)


if __name__ == '__main__':
  command.run(main, FLAGS)
