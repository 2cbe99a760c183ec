"""The rows of thesis_figures' tables, from what the studies write."""

import json

import numpy as np
import pytest

from defect_jax.report import grids


@pytest.fixture
def figures(experiment, monkeypatch, tmp_path):
  module = experiment('thesis_figures')
  monkeypatch.setattr(module, 'FLAGS', type('Flags', (), {'tiny': False})())
  monkeypatch.setattr(module, 'study', lambda name, *more: tmp_path)
  for name in ('figure3', 'final_elpv'):
    grids.write_png(tmp_path / f'{name}.png', np.zeros((4, 4, 3), np.uint8))
  return module


def test_the_vaes(figures, tmp_path):
  found = {'proposed, mosaic': {'setting': 32.0, 'final': {'kid': (0.5, 0.125), 'novelty': (0.25, 0.0625)}}}
  (tmp_path / 'figure3.json').write_text(json.dumps(found))
  figure, names, rows = figures.vaes()
  assert names == ['method, sampler', 'setting', 'kid', 'novelty']
  assert rows == [('proposed, mosaic', '32', '0.5 ± 0.12', '0.25 ± 0.062')]
  assert figure.source.startswith('data:image/png;base64,')


def test_the_classifiers(figures, tmp_path):
  base = {'set': 'elpv', 'photos': 25, 'arm': '+classic', 'figures': {'accuracy': 0.75}}
  better = base | {'arm': '+inpaint', 'differences': {'balanced_accuracy': {'verdict': 'better'}}}
  (tmp_path / 'final.json').write_text(json.dumps([base, better]))
  shown, names, rows = figures.classifiers()
  assert names == ['set and arm', 'accuracy', 'against +classic'] and len(shown) == 1
  assert rows == [('elpv, 25 photos, +classic', '0.750', '–'), ('elpv, 25 photos, +inpaint', '0.750', 'better')]
