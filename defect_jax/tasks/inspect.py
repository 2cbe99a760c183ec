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

from defect_jax.data import annotations, depth, inspection, listing, parts
from defect_jax.data.parts import GOOD
from defect_jax.registry import SOURCES
from defect_jax.report import inspect as report
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar

INSPECTION = Artefact('inspect.json')
_LEAST, _LEAST_GOOD = 2, 3  # photos that anything can be learned from, and good ones for thresholds by folds


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Looks at the folder that the config names; returns the summary. Raises UserError, Stopped or DiskFull."""
  layout = listing.source_of(config.photos, 'photos') if config.source == listing.AUTO else config.source
  listed = listing.list_photos(layout, config.photos, key='photos', masks=config.masks)
  bits, about_bits = depth.bits_of(listed)
  listed = dataclasses.replace(listed, records=tuple(parts.with_bits(listed, bits)))
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
                               about_bits)
  commands = [*_commands(config, result)]
  write_atomic(workdir.path(INSPECTION), json.dumps(result.as_json([line for *_, line in commands]), indent=2) + '\n')
  report.write(workdir.report_html, f'{workdir.root.name}: {config.photos}', workdir.config_text, result, commands,
               config.shown)
  _tell(workdir, result, commands)
  return {'steps': len(listed), 'seconds': seconds, 'compile_seconds': None, 'devices': 1, 'platform': 'cpu',
          'images_per_second': len(listed) / max(seconds, 1e-9), 'photos': len(listed),
          'problems': len(result.problems)}


def _commands(config: ConfigDict, found: inspection.Inspection) -> Iterator[tuple[str, str, str]]:
  """(what, why, command) for each job that the photos suffice for, in an order in which they can be run."""
  path = os.path.abspath(config.photos)
  name = re.sub(r'\W+', '_', Path(path).name)
  defects = found.classes
  good = defects.pop(GOOD, {'photos': 0})['photos']
  bad = sum(counts['photos'] for counts in defects.values())
  usual = {'source': listing.AUTO, 'masks': annotations.AS_IS}
  said = [f'--config.data.{key}={config[key]}' for key, value in usual.items() if config[key] != value]

  def command(job, *words):
    return shlex.join(('python', '-m', 'defect_jax.main', f'--config=configs/{job}.py', *words,
                       f'--workdir=runs/{name}_{job}'))

  def of(job):
    return f'runs/{name}_{job}'

  data = f'--config.data.path={path}', *said
  if good >= _LEAST_GOOD:
    yield ('Find defects without examples', f'Learns what the {good} good photos have in common; marks what differs.',
           command('anomaly', *data))
    yield ('Score photos', 'By what was learned from the good ones; of these photos, or of any other folder.',
           command('predict', f'--config.run={of("anomaly")}', f'--config.photos={path}'))
  if good >= _LEAST and bad >= _LEAST:
    yield ('Tell defective photos from good ones', f'Learns from {good} good and {bad} defective photos.',
           command('classifier', *data))
  if bad >= _LEAST or good >= _LEAST:
    yield (f'New images of {"the defects" if bad else "such photos"}',
           f'Trains a variational autoencoder on {bad or good} photos, then makes images by it.',
           command('vae_split', *data))
    yield '', '', command('generate', f'--config.vae={of("vae_split")}')
  if good >= _LEAST and any(counts['masks'] >= _LEAST for counts in defects.values()):
    yield ('New defects in your good photos', 'Teaches a diffusion model the marked defects, then paints them in.',
           command('inpaint_train', *data))
    yield '', '', command('inpaint', f'--config.weights={of("inpaint_train")}', f'--config.photos={path}',
                          f'--config.defects={",".join(defects)}')


def _tell(workdir: Workdir, found: inspection.Inspection, commands: list[tuple[str, str, str]]) -> None:
  """Prints what matters."""
  for line in found.sentences():
    print(line)
  for line in report.in_short(found.problems):
    print(f'note: {line}')
  for what, _, line in commands:
    print(*[f'{what}:'] if what else [], f'  {line}', sep='\n')
  print(f'{workdir.report_html} shows the photos, and all that is to be mended', flush=True)
