"""What was measured before stays, and real defects say more than pasted ones."""

import json

from defect_jax.runs.folder import Workdir
from defect_jax.tasks import measured

REAL = {'found': 0.9, 'found_ci': (0.7, 1.0), 'false_alarms': 0.04, 'false_alarms_ci': (0, 0.1), 'tested': {},
        'good_apart': False, 'measured_on': 'labels', 'image_auroc': 0.95, 'image_auroc_ci': (0.9, 1.0), 'scores': {},
        'score': 'knn_top'}
PASTED = REAL | {'found': 0.3, 'measured_on': 'pasted', 'threshold': 2.0}


def test_summaries_of_other_parts_are_found(tmp_path):
  for part in ('dev', 'synthetic'):
    (tmp_path / 'measured' / part).mkdir(parents=True)
    (tmp_path / 'measured' / part / 'summary.json').write_text(json.dumps({'part': part}))
  assert measured.before(Workdir(tmp_path), 'dev') == {'synthetic': {'part': 'synthetic'}}
  assert measured.before(Workdir(tmp_path / 'none'), 'dev') == {}


def test_real_defects_answer_for_pasted_ones_and_never_the_other_way():
  assert measured.strongest(PASTED, {'dev': REAL}) == REAL | {'threshold': 2.0}
  assert measured.strongest(REAL, {'synthetic': PASTED}) == REAL
  assert measured.strongest(PASTED, {}) == PASTED
  # Of a version before, whose figures have no intervals.
  assert measured.strongest(PASTED, {'dev': {'found': 0.9}}) == PASTED
