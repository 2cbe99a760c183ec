"""Measures the scores of the VAE and of the baselines on photos of known classes."""

import resource
import time

import jax
import numpy as np

from defect_jax import parallel
from defect_jax.evaluation import anomaly, detector, residuals, threshold
from defect_jax.tasks.anomaly import fitting, photos
from defect_jax.workdir import Stopped


def run(config, workdir):
  """Trains or opens the VAE, finds the threshold, measures; returns the summary."""
  view, split, notes = photos.view_of(config), photos.split(config), []
  vae = fitting.open_vae(config)
  good = fitting.tiles_of(config, split.train, view, config.tiles.most, notes)
  held_out = fitting.tiles_of(config, split.calibrate, view, fitting._HELD_OUT, notes)
  workdir.open()
  workdir.cut_back(-1)
  began = time.monotonic()
  vae = vae or fitting.train(config, workdir, good, held_out)
  found = fitting.fit(config, vae, view, good)
  print(f'{len(split.train)} good photos trained on, {len(split.calibrate)} for the threshold, {len(split.test)} tested',
        flush=True)
  maps_of = found.maps_of((*detector.OF_VAE, *detector.OF_BASELINES))
  calibrate = scored(config, workdir, found, maps_of, split.calibrate, notes, keep=False)
  test = scored(config, workdir, found, maps_of, split.test, notes, keep=True)
  chosen = fitting.chosen_score(config).name
  limits = {name: threshold.from_good(calibrate.scores[name], config.threshold.quantile, 'good photos of the part dev')
            for name in calibrate.scores}
  table = {score.name: row(score, test, limits[score.name], config.seed) for score in fitting.all_scores()}
  seconds = time.monotonic() - began
  limit = limits[chosen]
  summary = {'steps': len(test.records), 'seconds': seconds, 'compile_seconds': 0., 'images_per_second': 0.,
             'devices': parallel.devices(), 'platform': jax.default_backend(), **table[chosen], 'score': chosen,
             'threshold': limit.value, 'threshold_source': limit.source, 'false_alarm_rate': limit.false_alarm_rate,
             'false_alarm_ci': limit.false_alarm_ci, 'scores': table,
             'peak_memory_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
  return summary


class Scored:
  """Photos with their scores: records, masks, scores {name: [n]}, maps {name: [h, w] each}, where kept."""

  def __init__(self):
    self.records, self.masks, self.scores, self.maps = [], [], {}, {}


def scored(config, workdir, found, maps_of, records, notes, keep):
  result = Scored()
  shown = photos.usable(records, found.view, config.data.max_broken, notes)
  began = time.monotonic()
  for one, _, maps in found.scan(((one, one.image) for one in shown), maps_of):
    maps = {name: residuals.smooth(of, config.score.smooth) for name, of in maps.items()}
    result.records.append(one.record)
    result.masks.append(one.mask)
    for score in fitting.all_scores():
      value = residuals.reduce(maps[score.map], score.reduction, config.score.top)
      result.scores.setdefault(score.name, []).append(value)
    if keep:
      for name, of in maps.items():
        result.maps.setdefault(name, []).append(of)
    if workdir.stop_requested:
      raise Stopped('stopped while scoring; the same command goes on')
  print(len(records), 'scored in', time.monotonic() - began, flush=True)
  return result


def row(score, test, limit, seed):
  defective = np.array([record.label != 'good' for record in test.records])
  scores = np.array(test.scores[score.name])
  result = anomaly.of_images(defective, scores, seed)
  result |= anomaly.at_threshold(defective, scores, limit.value)
  result['by_class'] = {}
  labels = np.array([record.label for record in test.records])
  for label in sorted(set(labels) - {'good'}):
    of = np.flatnonzero((labels == 'good') | (labels == label))
    result['by_class'][label] = {'image_auroc': anomaly.of_images(defective[of], scores[of], seed)['image_auroc'],
                                 **pixels(score, test, of)}
  return result | pixels(score, test, range(len(labels)))


def pixels(score, test, rows):
  rows = [row for row in rows if test.records[row].label == 'good' or test.records[row].mask is not None]
  if score.reduction != 'max' or score.map == 'kld' or not rows:
    return {'pixel_auroc': None, 'aupro': None}
  return anomaly.of_pixels([test.masks[row] for row in rows], [test.maps[score.map][row] for row in rows])
