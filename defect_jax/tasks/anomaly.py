"""Finds anomalies by detectors of good photos: measures them on photos of known classes, or predicts a folder."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from defect_jax import detectors, parallel
from defect_jax.data import calibration, dataset, listing, parts, samples, seen, tiles
from defect_jax.data.parts import GOOD
from defect_jax.detectors import base, scores
from defect_jax.errors import UserError
from defect_jax.evaluation import anomaly, looked_at, mixture, synthetic
from defect_jax.registry import DETECTORS
from defect_jax.report import advice, detection
from defect_jax.report import anomaly as report
from defect_jax.report import mixture as mixed_report
from defect_jax.report.answers import Facts, timed
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.runs.forecast import Forecast
from defect_jax.runs.progress import ProgressBar
from defect_jax.tasks import measured, predict
from defect_jax.tasks import vae as vae_task
from defect_jax.trained import detector as trained
from defect_jax.trained.vae import open_vae

_FOLDS = Artefact('folds')  # VAEs that score the photos that the one that stays is trained on
# Not defects, by which a source would name the class of photos alone: here these are good.
_LISTED = ('source', 'path', 'split', 'folds', 'bits', 'masks', 'cell_type')
_DEFAULT = scores.Score.of(detectors.DEFAULT[1], detectors.REDUCTION).name
_HELD_OUT = 512  # tiles that a training watches, at most


def run(config: ConfigDict, workdir: Workdir) -> dict[str, Any]:
  """Evaluates or predicts as `config` says; returns the summary. Raises UserError, Stopped, Diverged or DiskFull."""
  setup, data, vae = trained.Setup.of(config), config.data, config.vae
  part = config.measure.part if config.mode == 'evaluate' else None
  records = [] if part else predict.list_photos(config.photos, workdir)
  if not part and vae and trained.anomaly_config(vae):
    predictor = trained.open_detector(vae, threshold=config.threshold.value, quantile=config.threshold.quantile,
                                      at_once=config.batch)
    own, judged = predictor.setup.score.name, setup.score.name
    if judged not in (own, _DEFAULT):
      raise UserError(f'score.map = {config.score.map!r}: {vae} judges by {own}; first run configs/anomaly.py with '
                      f'--config.score.map={judged} in another --workdir, then predict by that')
    workdir.open()
    print(f'data, tiles and score are those of {vae}', flush=True)
    # To mypy a protocol's members are settable.
    return predict.predict(workdir, predictor, records, config.heatmaps)  # type: ignore[arg-type]
  listed = listing.list_photos(**{key: data[key] for key in _LISTED})
  split = calibration.split(listed, by=setup.split, folds=data.folds, defects=data.defects,
                            few_shot=data.few_shot, seed=config.seed, measured=part)
  samples.check_masks(split.tested())
  maps = setup.maps() if part else {setup.detector: [setup.score.map]}
  scoring = _Scoring(config, workdir, setup, split, [*itertools.chain(*maps.values())], part)
  workdir.first_lines = [*workdir.first_lines, *(f'note: {line}' for line in listed.notes)]
  for each, fitted in _fitted(config, workdir, setup, maps, split, scoring):
    scoring.score(each, fitted)
  calibrate, score = scoring.calibrate, setup.score
  predictor = trained.DetectorPredictor(
      workdir, config, setup, fitted[setup.detector], calibrate.scores[score.name],
      float(np.median(calibrate.largest[score.map])), None if setup.split == 'hash' else calibrate.groups)
  predictor.save()
  how = {'split': setup.split, 'folds': len(split.folds)}
  if part:
    return _evaluate(predictor, scoring, how | {'photos': len(split.train), 'part': scoring.part,
                                                'measured_on': 'pasted' if part == 'synthetic' else 'labels'})
  summary = predict.predict(workdir, predictor, records, config.heatmaps)  # type: ignore[arg-type]
  return summary | how | {'seconds': summary['seconds'] + _training_seconds(workdir, len(split.folds))}


def _fitted(config, workdir, setup, maps, split, scoring):
  """Yields the split of each fold and then of what stays, with {kind: detector} for {kind: names of maps}.

  Opens the workdir once all that can be refused has been.
  """
  vae_of, every, inner = _vae_of(config, maps, split), [*split.folds, split], _inner(workdir, len(split.folds))
  left = [each for each in inner if each.read_summary() is None]
  forecast = Forecast(len(left), f'{len(split.folds)} folds and the detector that stays') if len(left) > 1 else None
  for number, (each, place) in enumerate(zip(every, inner, strict=True), 1):
    began = time.monotonic()
    good, held_out = (tiles.draw((sample.image for sample in scoring.read(records)), setup.tiling, most, setup.fit.seed)
                      if records else None for records, most in ((each.train, config.tiles.most),
                                                                 (each.calibrate, _HELD_OUT)))
    assert good is not None  # calibration.split gives every detector some
    if number == 1:
      scoring.open()
      if config.tiles.on:
        print(f'photos are cut into tiles of {config.data.size} px; {len(good)} tiles of {len(each.train)} good photos '
              'are trained on', flush=True)
      for line in seen.keep(workdir, split.train):
        print(f'note: {line}', flush=True)
      print(*report.how(len(split.folds), scoring.counts(), scoring.part), sep='\n', flush=True)
    place.forecast = forecast
    settings = setup.settings(itertools.chain(*maps.values()), vae_of(place, number, good, held_out))
    fitted = {kind: DETECTORS[kind].fit(good, settings) for kind in maps}
    del good, held_out
    yield each, fitted
    if forecast and place in left:
      forecast.of_part(time.monotonic() - began)


def _vae_of(config, maps, split):
  """Function of (workdir of a VAE, number of the fold from 1 on, good tiles, held-out ones or None) to the network that
  detectors take: None, the VAE that the config names, or one that is trained there on the good tiles, or found there.

  Raises UserError for a VAE that cannot be taken.
  """
  data, vae = config.data, config.vae
  if not any(DETECTORS[kind].NEEDS_NETWORK for kind in maps):
    if vae:
      print(f'note: vae = {vae} is not used, since no detector needs one', flush=True)
    return lambda *_: None
  if vae and split.folds:
    raise UserError(f'vae: {vae} has seen photos that give the threshold, by data.split={data.split}; '
                    'leave it out, so that each fold trains its own, or train it with data.split=hash and set it here')
  if vae:
    network = trained.open_network(vae, data, config.tiles)
    return lambda *_: network
  plugins = {'plugins': config.plugins} if config.get('plugins') else {}

  def network_of(inner, number, good, held_out):
    of_fold = {'fold': number} if number <= len(split.folds) else {}
    training = ConfigDict(config.train.to_dict() | plugins | {
        'task': 'vae', 'seed': config.seed, 'data': data.to_dict() | {'defects': ('good',)} | of_fold})
    return trained.network_of(_trained_vae(training, inner, good, held_out, 'tile' if config.tiles.on else 'photo'))
  return network_of


def _trained_vae(config, inner, good, held_out, noun):
  """The VAE of good tiles, an ordinary run in a folder of this one; trained, or found there. noun: of one tile."""
  photos = dataset.InMemory(dataset.as_uint16(good), noun=noun)
  inner.check(config)
  if inner.finished():
    vae = open_vae(inner.root)
    vae.check_photos(photos)
    return vae
  what = 'good photos' if noun == 'photo' else f'{noun}s of good photos'
  print(f'training a VAE on {len(good)} {what}, in {inner.root}', flush=True)
  with inner.running():
    inner.finish(vae_task.train(config, inner, photos, None if held_out is None else dataset.InMemory(
        dataset.as_uint16(held_out))))
  return open_vae(inner.root)


class _Scoring:
  """Gives photos their scores by detectors that have not seen them.

  calibrate: of the good photos that give the threshold. test: of those that are tested, which may be the same. seconds:
  spent on it. count: photos that were scored.
  """

  def __init__(self, config: ConfigDict, workdir: Workdir, setup: trained.Setup, split: calibration.Split,
               maps: Sequence[str], part: str | None):
    """maps: that the detectors make. part: that is measured, None where none is."""
    self.split, self.workdir, self._measure = split, workdir, config.measure
    self.part = parts.MEASURED.get(setup.split, part) if part == 'dev' else part
    self._setup, self._max_broken, self._made = setup, config.data.max_broken, part == 'synthetic'
    self.wanted = scores.all_scores(maps) if part else [setup.score]
    marked = self._made or any(record.annotation for record in split.tested())
    self.calibrate = anomaly.Results()
    # Without marks no figure of pixels asks for the other maps.
    self.test = anomaly.Results([score.map for score in self.wanted if marked or score == setup.score])
    self.skipped: list[dataset.Skipped] = []
    self.seconds, self.count = 0., 0
    self._total = sum(len(each.test) * (1 + self._made) + len(_only(each.calibrate, each.test))
                      for each in (*split.folds, split))

  def read(self, records: Sequence[parts.Record]) -> Iterator[samples.Sample]:
    """The photos that can be used; of those of all folds together, data.max_broken may not be."""
    share = len(self.split.train) / len(records) if self.split.folds and records else 1.
    return samples.usable(records, self._setup.tiling, self.skipped, min(1., self._max_broken * max(1., share)))

  def counts(self) -> dict[str, int]:
    """How many photos are for what."""
    return {'train': len(self.split.train), 'test': len(self.split.tested()),
            'calibrate': sum(len(each.calibrate) for each in (*self.split.folds, self.split))}

  def open(self) -> None:
    """Opens the workdir, in which photos are scored from then on."""
    measured.open_keeping(self.workdir, self._measure.part)
    self.workdir.cut_back(-1)
    self._progress = ProgressBar(self.workdir, 'photo')

  def score(self, split: calibration.Split, fitted: Mapping[str, base.Detector]) -> None:
    """Scores what is not trained on in a split."""
    began, tested = time.monotonic(), self.read(split.test)
    photos = itertools.chain(self.read(_only(split.calibrate, split.test)), synthetic.with_defects(
        tested, self._setup.fit.seed, len(self.test.samples)) if self._made else tested)
    calibrating, testing = ({record.file for record in records} for records in (split.calibrate, split.test))
    for photo in self._setup.scorer(fitted.values(), self.wanted)(photos):
      record = photo.sample.record
      if record.file in calibrating and record.label == GOOD:  # not the copy with a made defect
        self.calibrate.add(photo)
      if record.file in testing:
        self.test.add(photo)
      self.count += 1
      self._progress.count(self._total)
    self.seconds += time.monotonic() - began


def _only(records, others):
  """Those of the records that are not among the others."""
  known = {record.file for record in others}
  return [record for record in records if record.file not in known]


def _evaluate(predictor: trained.DetectorPredictor, scoring: _Scoring, how: Mapping[str, Any]) -> dict[str, Any]:
  """The summary of all that is compared, and its page."""
  workdir, setup, split, test = scoring.workdir, predictor.setup, scoring.split, scoring.test
  print('measuring', flush=True)
  notes = list(dict.fromkeys(map(str, scoring.skipped)))  # some photos are read twice
  for note in notes:
    print(f'note: {note}', flush=True)
  thresholds = {score.name: setup.by_quantile(scoring.calibrate.scores[score.name], predictor.good_groups)
                for score in scoring.wanted}
  thresholds[setup.score.name] = predictor.threshold
  table = {score.name: test.figures(score, thresholds[score.name].value, setup.fit.seed) for score in scoring.wanted}
  is_apart = not {sample.record.file for sample in test.samples if sample.record.label == GOOD}.intersection(
      sample.record.file for sample in scoring.calibrate.samples)
  summary = {
      **{key: value for key, value in table[setup.score.name].items() if key not in ('threshold', 'f1_max_threshold')},
      **predictor.threshold.figures(), 'score': setup.score.name, **how, 'scores': table,
      'steps': scoring.count, 'seconds': scoring.seconds + _training_seconds(workdir, len(split.folds)),
      'compile_seconds': None,  # not told apart from scoring
      'images_per_second': scoring.count / scoring.seconds, 'skipped': len(notes), **parallel.machine(),
      'counts': {'train': len(split.train), 'calibrate': len(scoring.calibrate.samples), 'test': len(test.samples)},
      **test.intervals(setup.score, predictor.threshold.value), 'good_apart': is_apart}
  photos = [*split.train, *{record.file: record for record in split.tested() if record.label != GOOD}.values()]
  summary |= _looked_at(setup.tiling, photos)
  earlier = measured.before(workdir, predictor.config.measure.part)
  facts = Facts.of(measured.strongest(summary, earlier), predictor.config, workdir)
  answers, usable = advice.of('anomaly', facts)
  summary |= usable
  report.write_evaluation(
      workdir.report_html, title=f'{workdir.root.name}: anomalies', config=workdir.config_text, summary=summary,
      notes=notes, labels=test.labels, scores=test.scores[setup.score.name], good=predictor.good_scores,
      scale=predictor.scale, ranked=test.ranked(setup.score), answers=answers, advised=detection.another_score(facts),
      earlier=earlier, mixed=mixed_report.section(summary['mixture'], photos))
  return summary


@timed
def _looked_at(tiling: tiles.Tiling, records: Sequence[parts.Record]) -> dict[str, Any]:
  """What the summary says of the photos that are trained on and of the defective ones, for the answers of the page."""
  return {'looked_at': looked_at.of(records, tiling), 'mixture': mixture.find(records)}


def _training_seconds(workdir: Workdir, folds: int) -> float:
  """Seconds that the trainings of VAEs took, of the folds' too; 0 where there were none."""
  summaries = (inner.read_summary() for inner in _inner(workdir, folds))
  return sum(summary['seconds'] for summary in summaries if summary)


def _inner(workdir: Workdir, folds: int) -> list[Workdir]:
  """Where the VAE of each fold is trained, and the one that stays."""
  return [*(Workdir(workdir.path(_FOLDS) / str(number) / trained.NETWORK.name, workdir)
            for number in range(1, folds + 1)), Workdir(workdir.path(trained.NETWORK), workdir)]
