"""Says what is in a folder of photos and what can be done with it, before anything is trained."""

import dataclasses
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from defect_jax.data import depth, inspection, layouts, listing, parts
from defect_jax.data.parts import GOOD
from defect_jax.registry import SOURCES
from defect_jax.report import inspect as report
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar

INSPECTION = Artefact('inspect.json')
_LEAST = 2  # photos that anything can be learned from


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Looks at the folder that the config names; returns the summary. Raises UserError, Stopped or DiskFull."""
  layout = layouts.recognise(config.photos, 'photos') if config.source == 'auto' else config.source
  found = listing.list_photos(layout, config.photos, key='photos')
  listed = found if isinstance(found, parts.Listing) else parts.Listing(tuple(found))
  bits, line = depth.bits_of(listed, 'data.bits')
  listed = dataclasses.replace(listed, records=tuple(dataclasses.replace(one, bits=bits) for one in listed))
  workdir.open()
  workdir.cut_back(0)  # of an earlier look
  began, progress = time.monotonic(), ProgressBar(workdir, 'photo')
  looks, problems = [], [*listed.problems]
  for look, wrong in inspection.look_at_all(listed):
    looks += [look] if look else []
    problems += wrong
    progress.count(len(listed))
  seconds = time.monotonic() - began
  result = inspection.conclude(layout, getattr(SOURCES[layout], 'TITLE', layout), listed, looks, problems,
                               line)
  commands = [*_commands(config.photos, result)]
  write_atomic(workdir.path(INSPECTION), json.dumps(result.as_json([line for *_, line in commands]), indent=2) + '\n')
  report.write(workdir.report_html, f'{workdir.root.name}: {config.photos}', workdir.config_text, result, commands,
               config.shown)
  _tell(workdir, result, commands)
  return {'steps': len(listed), 'seconds': seconds, 'compile_seconds': None, 'devices': 1, 'platform': 'cpu',
          'images_per_second': len(listed) / max(seconds, 1e-9), 'photos': len(listed),
          'problems': len(result.problems)}


def _commands(photos: str, found: inspection.Inspection) -> Iterator[tuple[str, str, str]]:
  """(what, why, command) for each job that the photos suffice for."""
  path = os.path.abspath(os.path.expanduser(photos))
  name = re.sub(r'\W+', '_', Path(path).name)
  count = {label: counts['photos'] for label, counts in found.classes.items()}
  good = count.pop(GOOD, 0)

  def command(job, *values, key='data.path'):
    words = f'--config=configs/{job}.py', f'--config.{key}={path}', *values, f'--workdir=runs/{name}_{job}'
    return shlex.join(('python', '-m', 'defect_jax.main', *words))

  if good >= _LEAST:
    yield ('Find defects without examples', f'Learns what {good} good photos have in common and marks what differs.',
           command('anomaly'))
    if any(number >= _LEAST for number in count.values()):
      yield ('Tell defective photos from good ones', f'Learns from {good} good and {sum(count.values())} defective '
             'photos; measured on photos that it did not see.', command('classifier'))
  if sum(count.values()) >= _LEAST or found.layout == 'photos':
    yield ('New images of the defects', f'A variational autoencoder of {sum(count.values()) or good} photos.',
           command('vae_split'))


def _tell(workdir: Workdir, found: inspection.Inspection, commands: list[tuple[str, str, str]]) -> None:
  """Prints what matters."""
  for line in found.sentences():
    print(line)
  for line in report.in_short(found.problems):
    print(f'note: {line}')
  for what, _, line in commands:
    print(f'{what}:\n  {line}')
  print(f'{workdir.report_html} shows the photos, and all that is to be mended', flush=True)
