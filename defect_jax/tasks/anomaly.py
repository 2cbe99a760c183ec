"""Finds anomalies by detectors of good photos: measures them on photos of known classes, or predicts a folder."""

import functools
import itertools
import time

import numpy as np
from ml_collections import ConfigDict

from defect_jax import parallel
from defect_jax.data import calibration, dataset, listing, samples, tiles
from defect_jax.detectors import scores
from defect_jax.evaluation import anomaly, synthetic
from defect_jax.registry import DETECTORS
from defect_jax.report import anomaly as report
from defect_jax.runs.folder import Workdir
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks import predict
from defect_jax.tasks import vae as vae_task
from defect_jax.trained import detector as trained
from defect_jax.trained.vae import open_vae

_HELD_OUT = 512  # tiles that a training watches, at most
_SHOWN = 24  # photos on the page, the highest scores


def run(config: ConfigDict, workdir: Workdir) -> dict:
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  setup, data, vae = trained.Setup.of(config), config.data, config.vae
  part = config.measure.part if config.mode == 'evaluate' else None
  records = [] if part else predict.list_photos(config.photos, workdir)
  if not part and vae and trained.anomaly_config(vae):
    predictor = trained.open_detector(vae, threshold=config.threshold.value, quantile=config.threshold.quantile,
                                      at_once=config.batch)
    workdir.open()
    print(f'data, tiles and score are those of {vae}', flush=True)
    # To mypy a protocol's members are settable.
    return predict.predict(workdir, predictor, records, config.heatmaps)  # type: ignore[arg-type]
  listed = listing.list_photos(data.source, data.path, cell_type=data.cell_type)
  split = calibration.split(listed, defects=data.defects, few_shot=data.few_shot, seed=config.seed, measured=part)
  samples.check_masks(split.test)
  skipped: list[dataset.Skipped] = []
  usable = functools.partial(samples.usable, tiling=setup.tiling, skipped=skipped, max_broken=data.max_broken)
  maps = setup.maps() if part else {setup.detector: [setup.score.map]}
  needs_network = any(DETECTORS[kind].NEEDS_NETWORK for kind in maps)
  network = trained.open_network(vae, data, config.tiles) if vae and needs_network else None
  training = ConfigDict(config.train.to_dict() | {'task': 'vae', 'seed': config.seed,
                                                  'data': data.to_dict() | {'defects': ('good',)}}
                        | ({'plugins': config.plugins} if config.get('plugins') else {}))
  fitted = _fit(workdir, setup, maps, split, usable, config.tiles.most, network,
                None if vae or not needs_network else training)
  if vae and not needs_network:
    print(f'note: vae = {vae} is not used, since no detector needs one', flush=True)
  predictor_of = functools.partial(trained.DetectorPredictor, workdir, config, setup, fitted[setup.detector])
  if part:
    return _evaluate(workdir, setup, fitted, maps, split, usable, skipped, part, predictor_of)
  calibrate = anomaly.Results()
  for photo in setup.scorer(fitted.values(), [setup.score])(usable(split.calibrate)):
    calibrate.add(photo)
  summary = predict.predict(workdir, _saved(predictor_of, setup.score, calibrate), records, config.heatmaps)
  return summary | {'seconds': summary['seconds'] + _training_seconds(workdir)}


def _fit(workdir, setup, maps, split, usable, most, network, training):
  """{kind: detector} for {kind: names of maps}, with a VAE if there is a config of its training.

  Opens the workdir once all that can be refused has been.
  """
  good, held_out = (tiles.draw((sample.image for sample in usable(records)), setup.tiling, limit, setup.fit.seed)
                    for records, limit in ((split.train, most), (split.calibrate, _HELD_OUT)))
  workdir.open()
  if training:
    network = trained.network_of(_train(training, Workdir(workdir.path(trained.NETWORK), workdir), good, held_out))
  settings = setup.settings(itertools.chain(*maps.values()), network)
  return {kind: DETECTORS[kind].fit(good, settings) for kind in maps}


def _train(config, inner, good, held_out):
  """The VAE of good tiles, an ordinary run in a folder of this one; trained, or found there."""
  photos = dataset.InMemory(dataset.as_uint16(good))
  inner.check(config)
  if inner.finished():
    vae = open_vae(inner.root)
    vae.check_photos(photos)
    return vae
  print(f'training a VAE on {len(good)} tiles of good photos, in {inner.root}', flush=True)
  with inner.running():
    inner.finish(vae_task.train(config, inner, photos, dataset.InMemory(dataset.as_uint16(held_out))))
  return open_vae(inner.root)


def _evaluate(workdir, setup, fitted, maps, split, usable, skipped, part, predictor_of):
  """Scores photos of known classes by all that is compared."""
  workdir.cut_back(-1)
  print(f'{len(split.train)} good photos trained on, {len(split.calibrate)} for the threshold, {len(split.test)} '
        f'tested, of the part {part}', flush=True)
  every = scores.all_scores(itertools.chain(*maps.values()))
  scorer, made = setup.scorer(fitted.values(), every), part == 'synthetic'
  marked = made or any(record.annotation for record in split.test)  # else no figure of pixels asks for their maps
  keep = [score.map for score in every if marked or score == setup.score]
  calibrate, test = anomaly.Results(), anomaly.Results(keep)
  progress, total = ProgressBar(workdir, 'photo'), len(split.calibrate) + len(split.test) * (1 + made)
  tested, began = usable(split.test), time.monotonic()
  for results, photos in ((calibrate, usable(split.calibrate)),
                          (test, synthetic.with_defects(tested, setup.fit.seed) if made else tested)):
    for photo in scorer(photos):
      results.add(photo)
      progress.count(total)
  seconds = time.monotonic() - began
  print('measuring', flush=True)
  notes = list(dict.fromkeys(map(str, skipped)))  # some photos are read twice
  for note in notes:
    print(f'note: {note}', flush=True)
  predictor = _saved(predictor_of, setup.score, calibrate)
  thresholds = {score.name: setup.by_quantile(calibrate.scores[score.name]) for score in every}
  thresholds[setup.score.name] = predictor.threshold
  table = {score.name: test.figures(score, thresholds[score.name].value, setup.fit.seed) for score in every}
  summary = {
      **{key: value for key, value in table[setup.score.name].items() if key not in ('threshold', 'f1_max_threshold')},
      **predictor.threshold.figures(), 'score': setup.score.name, 'part': part, 'scores': table,
      'steps': progress.done, 'seconds': workdir.seconds_spent() + _training_seconds(workdir),
      'compile_seconds': None,  # not told apart from scoring
      'images_per_second': progress.done / seconds, 'skipped': len(notes), **parallel.machine(),
      'photos': {'train': len(split.train), 'calibrate': len(split.calibrate), 'test': len(test.samples)}}
  report.write_evaluation(
      workdir.report_html, title=f'{workdir.root.name}: anomalies', config=workdir.config_text, summary=summary,
      notes=notes, labels=test.labels, scores=test.scores[setup.score.name], good=predictor.good_scores,
      scale=predictor.scale, worst=test.highest(setup.score, _SHOWN))
  return summary


def _saved(predictor_of, score, calibrate):
  """The detector that counts, with the scores of good photos; saved as the run's."""
  predictor = predictor_of(calibrate.scores[score.name], float(np.median(calibrate.largest[score.map])))
  predictor.save()
  return predictor


def _training_seconds(workdir):
  """Seconds that the training in workdir.vae took; 0 where there was none."""
  summary = Workdir(workdir.path(trained.NETWORK)).read_summary()
  return summary['seconds'] if summary else 0.
