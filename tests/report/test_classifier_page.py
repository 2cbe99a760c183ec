"""The page of a classifier says what its summary says, and holds together where there is little to show."""

import numpy as np
import pytest

from defect_jax.data.dataset import InMemory
from defect_jax.report import classifier as report
from defect_jax.report import plots

SUMMARY = {
    'accuracy': 0.75, 'balanced_accuracy': 0.7, 'f1': 0.6, 'auroc': 0.8, 'confusion': [[5, 1], [2, 4]], 'part': 'dev',
    'ci': dict.fromkeys(('accuracy', 'balanced_accuracy', 'f1', 'auroc'), (0.5, 0.9)), 'classes': ['good', 'crack'],
    'temperature': 1.0, 'calibration_error': 0.11, 'best_step': 20, 'photos': 50, 'split': 'hash', 'folds': 0,
    'counts': {'real': {'good': 30, 'crack': 20}, 'made': {'good': 0, 'crack': 7},
               'validation': {'good': 4, 'crack': 5}, 'test': {'good': 6, 'crack': 6}}}
IMAGE = np.full((16, 16, 1), 0.5, np.float32)
FILES = [f'{number}.png' for number in range(11)] + ['<b>.png']


def write(path, summary=None, metrics=(), notes=(), made=(), found=12, groups=FILES):
  """A page of 6 good and 6 defective photos, of which the first `found` are taken for what they are, surely."""
  labels = np.repeat([0, 1], 6)
  right = np.where(np.arange(12) < found, 0.75, 0.1)
  probabilities = np.where(np.arange(2) == labels[:, None], right[:, None], 1 - right[:, None])
  test = InMemory(np.stack([IMAGE] * 12), labels, FILES, groups, ['0' * 64] * 12)
  report.write_evaluation(path, title='run', config='{"task": "classifier"}', summary=SUMMARY | (summary or {}),
                          metrics=list(metrics), notes=list(notes), test=test, probabilities=probabilities,
                          threshold=0.5, made=made, saliency=lambda images: images[..., 0], seed=0)
  return path.read_text()


def test_the_page_says_what_was_found_and_what_it_came_from(tmp_path):
  metrics = [{'step': step, 'train/loss': 1 / step, 'train/accuracy': 0.5, 'eval/loss': 0.4,
           'eval/balanced_accuracy': 0.6} for step in (10, 20, 30)]
  page = write(tmp_path / 'a.html', metrics=metrics, notes=['skipped x.png: is empty'], made=np.stack([IMAGE] * 3),
               found=11)
  # A wide interval comes before the figure, a narrow one after it.
  assert 'Balanced accuracy between 50 % and 90 % (95 %; 70 % on the 12 photos of the part dev);' in page
  narrow = write(tmp_path / 'b.html', {'ci': dict(SUMMARY['ci'], balanced_accuracy=(0.6, 0.8))})
  assert 'Balanced accuracy 70 % (60 % to 80 %, 95 %) on 12 photos of the part dev;' in narrow
  assert 'Trained on 30 good and 20 crack photos, with 7 made images; early stopping looked at 9 more.' in page
  assert 'Probabilities are not calibrated' in page and 'skipped x.png' in page
  assert 'crack, taken for good (0.90): &lt;b&gt;.png' in page
  for words in ('The first 3 of 3', 'What it gets wrong', '>Loss<', '>ROC<', '<td>crack</td><td>2</td><td>4</td>'):
    assert words in page


def test_a_page_without_training_made_images_and_mistakes_leaves_them_out(tmp_path):
  page = write(tmp_path / 'a.html', {'temperature': 2.0})
  assert 'calibrated by the temperature 2' in page
  assert 'Made images' not in page and 'What it gets wrong' not in page and '>Loss<' not in page


def test_the_page_says_that_figures_are_of_folds_and_without_made_images(tmp_path):
  page = write(tmp_path / 'a.html', {'folds': 5, 'split': 'kfold', 'part': 'all', 'per_fold': False})
  assert 'by 5-fold cross-validation' in page and 'on all for 20 steps, the median of the folds' in page
  assert 'intervals are too narrow' not in page
  assert 'The figures are without made images' in page and ', which are all; none are held out.' in page


def test_an_interval_over_few_workpieces_is_said_to_be_too_narrow(tmp_path):
  page = write(tmp_path / 'a.html', groups=['monday', 'tuesday'] * 6)
  assert 'The tested photos of crack show 2 workpieces: intervals are too narrow.' in page


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
