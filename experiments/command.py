"""How an experiment is started from the command line: the flags that several have, and what a refusal looks like.

Each experiment has flags of its own (`define`), so that two of them fit into one process. Only its `main` reads them.
"""

import copy
import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Container, Iterable

from absl import flags

from defect_jax.config import UserError
from defect_jax.sweeps import local
from defect_jax.sweeps.study import Executor

TINY = 'Tiny jobs, to try the command.'


def define(root: str | None = None, *, data: str | None = None, tiny: str | None = None, at_once: bool = False,
           publish: bool = False, quick: bool = False) -> flags.FlagValues:
  """The flags of an experiment, to which it adds its own by `flag_values=`: those of these that are given.

  root, data: default folders. tiny: the help text of --tiny.
  """
  own = flags.FlagValues()
  if root:
    flags.DEFINE_string('root', root, 'Folder of the runs.', flag_values=own)
  if data:
    flags.DEFINE_string('data', data, 'Folder of magnetic_tile/ and bsdata/.', flag_values=own)
  if tiny:
    flags.DEFINE_boolean('tiny', False, tiny, flag_values=own)
  if at_once:
    flags.DEFINE_integer('at_once', 1, 'Jobs that run side by side, with a share of the CPUs each.', lower_bound=1,
                         flag_values=own)
  if publish:
    flags.DEFINE_boolean('publish', False, 'Write the table to docs/results/ too, from which docs/results.md is made.',
                         flag_values=own)
  if quick:
    flags.DEFINE_boolean('quick', False, 'A small network and few steps, to try the command itself.', flag_values=own)
  return own


def run(main: Callable[..., None], own: flags.FlagValues, positional: bool = False) -> None:
  """Calls `main(own)`, with positional arguments `main(own, arguments)`, and ends the process.

  A UserError, a flag that cannot be read, or Ctrl-C ends in a line instead of a traceback. JAX takes an accelerator's
  memory as it is needed, so that the jobs an experiment starts, and peers, find some.
  """
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  if not {'--help', '-help', '-h', '--helpfull'}.isdisjoint(sys.argv):
    print(f'{sys.modules[main.__module__].__doc__}\n{own.get_help()}')
    return
  try:
    own = copy.deepcopy(own)  # so that another call begins with the defaults
    arguments = _parsed(own, sys.argv)
    if arguments and not positional:
      raise UserError(f'{arguments[0]}: stray argument')
    if {'tiny', 'publish'} <= set(own) and own.tiny and own.publish:
      raise UserError('--publish: tiny jobs have no figures to publish; leave --tiny out')
    main(own, arguments) if positional else main(own)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
  except KeyboardInterrupt:
    print('stopped; what is finished is kept', file=sys.stderr)
    sys.exit(3)


def executor(at_once: int) -> Executor:
  """Runs a study's jobs on this machine, so many side by side."""
  return functools.partial(local.run, at_once=at_once)


def check_known(flag: str, names: Iterable[str], known: Container[str]) -> None:
  """UserError where a flag lists a name that is not known."""
  if unknown := [name for name in names if name not in known]:
    raise UserError(f'--{flag}: {unknown[0]} is none of them; there are {", ".join(known)}')


def check_installed(package: str, extra: str) -> None:
  """UserError where a package of one of setup.cfg's extras is not installed."""
  if importlib.util.find_spec(package) is None:
    raise UserError(f"{package} is not installed; install the extra that has it: ./launch.sh python -m pip install -e "
                    f"'.[{extra}]'")


def _parsed(own, argv):
  try:
    return own(argv)[1:]
  except flags.Error as error:
    raise UserError(str(error)) from error
