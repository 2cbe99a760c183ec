"""The page of a classifier says what its summary says, and holds together where there is little to show."""

import numpy as np
import pytest

from defect_jax.report import classifier as report
from defect_jax.report import plots

SUMMARY = {
    'accuracy': 0.75, 'balanced_accuracy': 0.7, 'f1': 0.6, 'auroc': 0.8, 'confusion': [[5, 1], [2, 4]], 'part': 'dev',
    'ci': dict.fromkeys(('accuracy', 'balanced_accuracy', 'f1', 'auroc'), (0.5, 0.9)), 'classes': ['good', 'crack'],
    'temperature': 1.0, 'calibration_error': 0.11, 'best_step': 20,
    'photos': {'real': {'good': 30, 'crack': 20}, 'made': {'good': 0, 'crack': 7},
               'validation': {'good': 4, 'crack': 5}, 'test': {'good': 6, 'crack': 6}}}
DEFECTIVE, SCORES = np.repeat([False, True], 6), np.linspace(0, 1, 12)
IMAGE = np.full((16, 16, 1), 0.5, np.float32)


def write(path, summary=None, metrics=(), notes=(), made=(), wrong=(), looked_at=()):
  report.write_evaluation(path, title='run', config='{"task": "classifier"}', summary=SUMMARY | (summary or {}),
                          metrics=list(metrics), notes=list(notes), defective=DEFECTIVE, scores=SCORES, made=made,
                          wrong=list(wrong), looked_at=list(looked_at))
  return path.read_text()


def test_the_page_says_what_was_found_and_what_it_came_from(tmp_path):
  metrics = [{'step': step, 'train/loss': 1 / step, 'train/accuracy': 0.5, 'eval/loss': 0.4,
           'eval/balanced_accuracy': 0.6} for step in (10, 20, 30)]
  page = write(tmp_path / 'a.html', metrics=metrics, notes=['skipped x.png: is empty'], made=np.stack([IMAGE] * 3),
               wrong=[('crack, taken for good (0.90): <b>.png', IMAGE, IMAGE[..., 0])])
  assert 'Balanced accuracy 70 % (50 % to 90 %, 95 %) on 12 photos of the part dev' in page
  assert 'Trained on 30 good and 20 crack photos, with 7 made images; early stopping looked at 9 more.' in page
  assert 'Probabilities are not calibrated' in page and '&lt;b&gt;.png' in page and 'skipped x.png' in page
  for words in ('The first 3 of 3', 'What it gets wrong', '>Loss<', '>ROC<', '<td>crack</td><td>2</td><td>4</td>'):
    assert words in page


def test_a_page_without_training_made_images_and_mistakes_leaves_them_out(tmp_path):
  page = write(tmp_path / 'a.html', {'temperature': 2.0})
  assert 'calibrated by the temperature 2' in page
  assert 'Made images' not in page and 'What it gets wrong' not in page and '>Loss<' not in page


def test_intervals_are_drawn_from_top_to_bottom():
  figure = plots.intervals({'first': (-1., 0., 1.), 'second': (1., 2., 3.)}, label='points', level=(0, 'none'))
  axes, = figure.axes
  assert [text.get_text() for text in axes.get_yticklabels()] == ['second', 'first']
  dots = [line for line in axes.get_lines() if line.get_marker() == 'o']
  assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(2., 0), (0., 1)]
  assert plots.encoded(figure, 'png').startswith(b'\x89PNG')


def test_a_curve_stays_in_the_unit_square():
  figure = plots.curve({'ours': ([0, 0.5, 1], [0, 0.9, 1])}, across='x', label='y', level=([0, 1], [0, 1], 'chance'))
  axes, = figure.axes
  assert axes.get_xlim() == (0, 1) and axes.get_ylim() == pytest.approx((0, 1.02))
