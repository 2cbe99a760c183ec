"""Trains, generates or evaluates as a config says: flags -> checked config -> task -> summary.json.

  python -m defect_jax.main --config=FILE.py[:arg] [--workdir=FOLDER] [--config.key=value ...]

  --config=configs/vae_split.py:tiny   the config; what may follow the colon stands in its get_config
  --workdir=runs/kld20                 folder of the run; by default runs/ and the config file's name
  --config.targets.kld=20              another value for a key (a,b for a tuple; none for an optional one)
  --config=FILE.py --help              every key of the config: value, unit, range and meaning

The same command again goes on where the run stopped, or says that it is finished. Exit status: 0 summary.json is
written, 2 the command or the data need a change (one line on stderr says which), 3 stopped on a request or signal and
can go on, 1 anything else.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from defect_jax.config import UserError, from_command_line, table_of
from defect_jax.runs import start
from defect_jax.runs.atomic import DiskFull, disk_full_named
from defect_jax.runs.command import Command
from defect_jax.runs.folder import Diverged, Stopped, Workdir, one_line
from defect_jax.schema import describe, flatten

FLAGS = flags.FLAGS
flags.DEFINE_string('workdir', None, "Folder of the run; by default runs/ and the config file's name.")


def parse(arguments: Sequence[str]) -> tuple[ConfigDict, str]:
  """Command line (without the program's name) to (config, folder of the run); raises UserError."""
  name, config, rest = from_command_line(arguments)
  try:
    stray = FLAGS(['defect_jax', *rest])[1:]
  except flags.Error as error:
    known = next((key for argument in rest if (key := argument.lstrip('-').partition('=')[0]) in flatten(config)), '')
    raise UserError(f'--{known}: write --config.{known}=' if known else str(error)) from error
  if stray:
    raise UserError(f'{stray[0]}: stray argument; values are given as --config.key=value')
  return config, os.path.expanduser(FLAGS.workdir or os.path.join('runs', name))


def stop_on_signals(workdir: Workdir) -> None:
  """The first SIGTERM or SIGINT asks the loop to save and stop, the second one kills."""
  def handle(number, frame):
    del frame
    workdir.stop_requested = True
    signal.signal(number, signal.SIG_DFL)
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, handle)


def run(config: ConfigDict, workdir: Workdir, ending: contextlib.ExitStack) -> None:
  """Runs a task to its summary.json, or says that it stands there already; `ending` is left once the workdir is closed.
  """
  config, lines = start.settled(config, workdir)
  if start.finished(config, workdir) is not None:
    more = '; a higher --config.steps.total goes on' if start.takes_more_steps(config) else ''
    print(f'{workdir.root}: finished already, see summary.json{more}', workdir.page_line, sep='\n')
    return
  workdir.first_lines = [workdir.page_line, *lines]
  ending.callback(_end_page, start.live(workdir), workdir)
  workdir.finish(start.run(config, workdir))


def _end_page(live, workdir):
  live.end()
  if workdir.was_open:
    print(workdir.page_line, flush=True)


def main(arguments: Sequence[str]) -> int:
  """Runs the command line and returns the exit status."""
  if asked := {'--help', '-h', '-help', '--helpfull'}.intersection(arguments):
    return show_help([argument for argument in arguments if argument not in asked])
  for name, value in (('TF_CPP_MIN_LOG_LEVEL', '3'), ('TF_ENABLE_ONEDNN_OPTS', '0')):
    os.environ.setdefault(name, value)  # before anything imports TensorFlow, which is chatty
  try:
    config, root = parse(arguments)
    workdir = Workdir(root)
    workdir.command = Command(tuple(arguments))
    stop_on_signals(workdir)
    with contextlib.ExitStack() as ending, workdir.running(), disk_full_named(root):
      run(config, workdir, ending)
    return 0
  except UserError as error:
    return end(2, error)
  except (DiskFull, Diverged) as error:
    return end(1, error)
  except Stopped as error:
    return end(3, error)


def show_help(arguments: Sequence[str]) -> int:
  """Prints how to use the command, and the keys of the config that is named; returns the exit status."""
  print(__doc__)
  if any(argument.startswith(('--config=', '-config=')) or argument == '--config' for argument in arguments):
    try:
      name, config, _ = from_command_line(arguments)
    except UserError as error:
      return end(2, error)
    print(f'Keys of {name}:', *describe(config, table_of(config)), sep='\n')
  return 0


def end(exit_status: int, error: Exception) -> int:
  """Says in one line on stderr how the run ended; returns the exit status."""
  print(one_line(error), file=sys.stderr)
  return exit_status


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
