"""The tables of docs/results.md, and of other pages there, are made of the JSON files in docs/results/, so that no
figure is typed by hand.

  python -m experiments.results            writes the tables of the pages anew
  python -m experiments.results --check    exit status 1 where a page and the files disagree

A study writes its file by --publish. On the page a table stands between `<!-- results: NAME ... -->` and
`<!-- /results -->`; where several files are named, their rows stand one below the other.
"""

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from defect_jax import __version__
from defect_jax.config import ROOT, UserError
from defect_jax.runs.atomic import write_atomic
from experiments import command

FOLDER = ROOT / 'docs' / 'results'
PAGES = ROOT / 'docs' / 'results.md', ROOT / 'docs' / 'choosing_targets.md'
FLAGS = command.define()
flags.DEFINE_boolean('check', False, 'Whether to compare only.', flag_values=FLAGS)

_TABLE = re.compile(r'(<!-- results: ([\w ]+) -->\n).*?(<!-- /results -->)', re.DOTALL)
_PRIVATE = 'root', 'data', 'publish', 'nopublish', 'vae', 'studies'  # flags that say nothing about the figures


class Table(NamedTuple):
  """As it is printed."""
  columns: Sequence[str]
  rows: Sequence[Sequence[str]]

  def markdown(self) -> str:
    return '\n'.join([_line(self.columns), '|' + '---|' * len(self.columns), *map(_line, self.rows)])


def publish(name: str, table: Table, figures: Any = None) -> None:
  """Writes a table as docs/results/NAME.json, with how it came about; figures: the same, not rounded."""
  content = {'study': name, 'command': _command(sys.argv), 'version': version(), 'date': time.strftime('%Y-%m-%d'),
             'machine': machine(), 'columns': table.columns, 'rows': table.rows, 'figures': figures}
  FOLDER.mkdir(exist_ok=True)
  write_atomic(FOLDER / f'{name}.json', json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def read(name: str) -> Table:
  """A published table; UserError where there is none."""
  try:
    content = json.loads((FOLDER / f'{name}.json').read_text())
    return Table(content['columns'], content['rows'])
  except (OSError, ValueError, KeyError) as error:
    raise UserError(f'docs/results/{name}.json: cannot be read ({error}); a study writes it by --publish') from error


def page(text: str) -> str:
  """The page's text with its tables made anew."""
  return _TABLE.sub(lambda match: f'{match[1]}{_joined(match[2].split()).markdown()}\n{match[3]}', text)


def machine() -> str:
  """The computer in words: architecture, processor, number of CPUs."""
  return f'{platform.machine()}, {next(_processors(), platform.processor())}, {os.cpu_count()} cores'


def version() -> str:
  """The commit where there is a repository, else the package's version."""
  try:
    done = subprocess.run(['git', 'describe', '--always', '--dirty'], cwd=ROOT, capture_output=True, text=True)
  except OSError:
    return __version__
  return done.stdout.strip() or __version__


def _joined(names):
  tables = [read(name) for name in names]
  if any(list(table.columns) != list(tables[0].columns) for table in tables):
    raise UserError(f'docs/results/: {", ".join(names)} stand in one table, but have different columns')
  return Table(tables[0].columns, [row for table in tables for row in table.rows])


def _line(cells):
  return f'| {" | ".join(cells)} |'


def _command(argv):
  public = [word for word in argv[1:] if word.lstrip('-').partition('=')[0] not in _PRIVATE]
  return ' '.join(['python -m', f'experiments.{Path(argv[0]).stem}', *public])


def _processors() -> Iterator[str]:
  """Names of the processors, on Linux."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return
  yield from (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))


def main(flags: flags.FlagValues) -> None:
  texts = {path: path.read_text() for path in PAGES}
  anew = {path: made for path, text in texts.items() if (made := page(text)) != text}
  if flags.check and anew:
    sys.exit(f'{", ".join(path.name for path in anew)} and {FOLDER.name}/ disagree; python -m experiments.results '
             'writes it anew')
  for path, text in anew.items():
    write_atomic(path, text)
    print(f'{path.name}: written anew')
  if not anew:
    print(f'{" and ".join(path.name for path in texts)} agree with {FOLDER.name}/')


if __name__ == '__main__':
  command.run(main, FLAGS)
