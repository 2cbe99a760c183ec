"""Several finished runs of the task vae on one page.

  python -m experiments.compare_runs runs/vae_split runs/vae_joint
  python -m experiments.compare_runs --out=runs/compare.html runs/*
"""

import sys
from pathlib import Path

from absl import app, flags

from defect_jax.config import UserError
from defect_jax.report import compare

FLAGS = flags.FLAGS
flags.DEFINE_string('out', 'runs/compare.html', 'The page.')


def main(arguments):
  roots = arguments[1:]
  try:
    if not roots:
      raise UserError('no workdir is named; such as: python -m experiments.compare_runs runs/vae_split runs/vae_joint')
    Path(FLAGS.out).parent.mkdir(parents=True, exist_ok=True)
    compare.write(FLAGS.out, roots)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{len(roots)} runs: {FLAGS.out}')
  return 0


if __name__ == '__main__':
  app.run(main)
