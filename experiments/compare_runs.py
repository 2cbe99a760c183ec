"""Several finished runs of one task on one page: VAEs, classifiers, detectors, image sets.

  python -m experiments.compare_runs runs/vae_split runs/vae_joint
  python -m experiments.compare_runs --out=runs/compare.html runs/classifier*
"""

from pathlib import Path

from absl import flags

from defect_jax.config import UserError
from defect_jax.report import compare
from experiments import command

FLAGS = command.define()
flags.DEFINE_string('out', 'runs/compare.html', 'The page.', flag_values=FLAGS)


def main(flags: flags.FlagValues, roots: list[str]) -> None:
  if not roots:
    raise UserError('no workdir is named; such as: python -m experiments.compare_runs runs/vae_split runs/vae_joint')
  Path(flags.out).parent.mkdir(parents=True, exist_ok=True)
  compare.write(flags.out, roots)
  print(f'{len(roots)} runs: {flags.out}')


if __name__ == '__main__':
  command.run(main, FLAGS, positional=True)
