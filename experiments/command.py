"""How an experiment is started from the command line: what it refuses is one line and exit status 2."""

import importlib.util
import os
import sys

from absl import app, flags

from defect_jax.config import UserError


def run(main):
  """app.run, but a UserError, a flag that cannot be read, or Ctrl-C ends in a line instead of a traceback.

  JAX takes an accelerator's memory as it is needed, so that the jobs an experiment starts, and peers, find some.
  """
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  try:
    app.run(main, flags_parser=_parse)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
  except KeyboardInterrupt:
    print('stopped; what is finished is kept', file=sys.stderr)
    sys.exit(3)


def check_known(flag, names, known):
  """UserError where a flag lists a name that is not known."""
  if unknown := [name for name in names if name not in known]:
    raise UserError(f'--{flag}: {unknown[0]} is none of them; there are {", ".join(known)}')


def check_installed(package, extra):
  """UserError where a package of one of setup.cfg's extras is not installed."""
  if importlib.util.find_spec(package) is None:
    raise UserError(f"{package} is not installed; install the extra that has it: ./launch.sh python -m pip install -e "
                    f"'.[{extra}]'")


def _parse(arguments):
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    raise UserError(str(error)) from error
