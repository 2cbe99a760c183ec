"""The rows of thesis_figures' tables, from what the studies return."""

import numpy as np
import pytest

from defect_jax.report import grids
from experiments import thesis_figures as figures


@pytest.fixture
def root(tmp_path):
  for name in ('figure3', 'final_elpv'):
    grids.write_png(tmp_path / f'{name}.png', np.zeros((4, 4, 3), np.uint8))
  return tmp_path


def test_the_vaes(root):
  outcomes = {'proposed, mosaic': {'setting': 32.0, 'final': {'kid': (0.5, 0.125), 'novelty': (0.25, 0.0625)}}}
  figure, table = figures.vaes(outcomes, root)
  assert table.names == ['method, sampler', 'setting', 'kid', 'novelty']
  assert table.rows == [('proposed, mosaic', '32', '0.5 ± 0.12', '0.25 ± 0.062')]
  assert figure.source.startswith('data:image/png;base64,')


def test_the_classifiers(root):
  base = {'set': 'elpv', 'photos': 25, 'arm': '+classic', 'figures': {'accuracy': 0.75}}
  better = base | {'arm': '+inpaint', 'differences': {'balanced_accuracy': {'verdict': 'better'}}}
  shown, table = figures.classifiers([base, better], root, 'final')
  assert table.names == ['set and arm', 'accuracy', 'against +classic'] and len(shown) == 1
  assert table.rows == [('elpv, 25 photos, +classic', '0.750', '–'), ('elpv, 25 photos, +inpaint', '0.750', 'better')]
