"""Finds anomalies by detectors of good photos: measures them on photos of known classes, or predicts a folder."""

import functools
import itertools
import time

import numpy as np
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import calibration, dataset, listing, samples, tiles
from defect_jax.detectors import scores
from defect_jax.evaluation import synthetic
from defect_jax.evaluation.anomaly import Results
from defect_jax.registry import DETECTORS
from defect_jax.report import anomaly as report
from defect_jax.runs.artefacts import REPORT
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks import predict
from defect_jax.tasks import vae as vae_task
from defect_jax.trained import detector as trained
from defect_jax.trained.detector import DetectorPredictor, Setup
from defect_jax.trained.vae import open_vae

_HELD_OUT = 512  # tiles that a training watches, at most
_SHOWN = 24  # photos on the page, the highest scores


def run(config: ConfigDict, workdir: Workdir) -> dict:
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  return _predict(config, workdir) if config.mode == 'predict' else _evaluate(config, workdir)


def _open_photos(config, setup, measured):
  """How the photos are split, the list of those that are skipped, and a function of records to usable samples."""
  data, skipped = config.data, []
  listed = listing.list_photos(data.source, data.path, cell_type=data.cell_type)
  split = calibration.split(listed, defects=data.defects, few_shot=data.few_shot, seed=config.seed, measured=measured)
  return split, skipped, functools.partial(samples.usable, tiling=setup.tiling, skipped=skipped,
                                           max_broken=data.max_broken)


def _fit(config, workdir, setup, split, usable, maps):
  """{kind: detector} for {kind: names of maps}; opens the workdir once all that can be refused has been."""
  needs_network = any(DETECTORS[kind].NEEDS_NETWORK for kind in maps)
  network = trained.open_network(config) if needs_network else None
  good, held_out = (tiles.draw((sample.image for sample in usable(records)), setup.tiling, most, config.seed)
                    for records, most in ((split.train, config.tiles.most), (split.calibrate, _HELD_OUT)))
  workdir.open()
  if config.vae and not needs_network:
    print(f'note: vae = {config.vae} is not used, since no detector needs one', flush=True)
  if needs_network and network is None:
    network = trained.network_of(_train(config, workdir, good, held_out))
  settings = setup.settings(itertools.chain(*maps.values()), network)
  return {kind: DETECTORS[kind].fit(good, settings) for kind in maps}


def _train(config, workdir, good, held_out):
  """The VAE of good tiles, an ordinary run in the folder vae/ of this one; trained, or found there."""
  data = config.data.to_dict() | {'defects': ('good',)}
  wanted = ConfigDict(config.train.to_dict() | {'task': 'vae', 'seed': config.seed, 'data': data})
  inner, photos = Workdir(workdir.path(trained.NETWORK), workdir), dataset.InMemory(dataset.as_uint16(good))
  inner.check(wanted)
  if inner.finished():
    vae = open_vae(inner.root)
    vae.check_photos(photos)
    return vae
  print(f'training a VAE on {len(good)} tiles of good photos, in {inner.root}', flush=True)
  with inner.running():
    inner.finish(vae_task.train(wanted, inner, photos, dataset.InMemory(dataset.as_uint16(held_out))))
  return open_vae(inner.root)


def _evaluate(config, workdir):
  """Scores photos of known classes by all that is compared."""
  setup, part = Setup.of(config), config.measure.part
  (split, skipped, usable), maps = _open_photos(config, setup, part), setup.maps()
  samples.check_masks(split.test)
  fitted = _fit(config, workdir, setup, split, usable, maps)
  workdir.cut_back(-1)
  print(f'{len(split.train)} good photos trained on, {len(split.calibrate)} for the threshold, {len(split.test)} '
        f'tested, of the part {part}', flush=True)
  every = scores.all_scores(itertools.chain(*maps.values()))
  scorer, made = setup.scorer(fitted.values(), every), part == 'synthetic'
  marked = made or any(record.annotation for record in split.test)  # else no figure of pixels asks for their maps
  calibrate, test = Results(), Results(keep=[score.map for score in every if marked or score == setup.score])
  progress, total = ProgressBar(workdir, 'photo'), len(split.calibrate) + len(split.test) * (1 + made)
  tested, began = usable(split.test), time.monotonic()
  for results, photos in ((calibrate, usable(split.calibrate)),
                          (test, synthetic.with_defects(tested, config.seed) if made else tested)):
    for photo in scorer(photos):
      results.add(photo)
      progress.count(total)
  seconds = time.monotonic() - began
  print('measuring', flush=True)
  notes = list(dict.fromkeys(map(str, skipped)))  # some photos are read twice
  for note in notes:
    print(f'note: {note}', flush=True)
  predictor = _predictor(config, workdir, setup, fitted, calibrate)
  thresholds = {score.name: setup.by_quantile(calibrate.scores[score.name]) for score in every}
  thresholds[setup.score.name] = predictor.threshold
  table = {score.name: test.figures(score, thresholds[score.name].value, config.seed) for score in every}
  summary = {
      **{key: value for key, value in table[setup.score.name].items() if key not in ('threshold', 'f1_max_threshold')},
      **predictor.threshold.figures(), 'score': setup.score.name, 'part': part, 'scores': table,
      'steps': progress.done, 'seconds': workdir.seconds_spent() + _training_seconds(workdir),
      'compile_seconds': None,  # not told apart from scoring
      'images_per_second': progress.done / seconds, 'skipped': len(notes),
      'photos': {'train': len(split.train), 'calibrate': len(split.calibrate), 'test': len(test.samples)},
      **parallel.machine()}
  report.write_evaluation(
      workdir.path(REPORT), title=f'{workdir.root.name}: anomalies', config=workdir.config_text, summary=summary,
      notes=notes, labels=test.labels, scores=test.scores[setup.score.name], good=predictor.good_scores,
      scale=predictor.scale, worst=test.highest(setup.score, _SHOWN))
  return summary


def _predictor(config, workdir, setup, fitted, calibrate):
  """The detector that counts, with the scores of good photos; saved as the run's."""
  scale = float(np.median(calibrate.largest[setup.score.map]))
  predictor = DetectorPredictor(workdir, config, setup, fitted[setup.detector], calibrate.scores[setup.score.name],
                                scale)
  predictor.save()
  return predictor


def _training_seconds(workdir):
  """Seconds that the training in workdir.vae took; 0 where there was none."""
  summary = Workdir(workdir.path(trained.NETWORK)).read_summary()
  return summary['seconds'] if summary else 0.


def _predict(config, workdir):
  """Scores a folder of photos, by the detector of the run that `vae` names or by one that is fitted first."""
  records = predict.list_photos(config.photos, workdir)
  if config.vae and trained.is_anomaly(config.vae):
    predictor = trained.open_detector(config.vae, threshold=config.threshold.value,
                                      quantile=config.threshold.quantile, at_once=config.batch)
    workdir.open()
    print(f'data, tiles and score are those of {config.vae}', flush=True)
  else:
    predictor = _prepare(config, workdir)
  # To mypy a protocol's members are settable.
  summary = predict.predict(workdir, predictor, records, config.heatmaps)  # type: ignore[arg-type]
  return summary | {'seconds': summary['seconds'] + _training_seconds(workdir)}


def _prepare(config, workdir):
  """The detector of good photos, saved as the run's."""
  setup = Setup.of(config)
  (split, _, usable), calibrate = _open_photos(config, setup, None), Results()
  fitted = _fit(config, workdir, setup, split, usable, {setup.detector: [setup.score.map]})
  for photo in setup.scorer(fitted.values(), [setup.score])(usable(split.calibrate)):
    calibrate.add(photo)
  return _predictor(config, workdir, setup, fitted, calibrate)
