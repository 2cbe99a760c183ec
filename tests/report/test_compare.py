import json
import re

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.report import compare, grids


def run(root, kld, seed=0, **summary):
  """A finished run as far as the page reads it."""
  (root / 'samples').mkdir(parents=True)
  (root / 'config.json').write_text(json.dumps({'task': 'vae', 'seed': seed, 'targets': {'kld': 16.0}}))
  (root / 'summary.json').write_text(json.dumps(
    {'task': 'vae', 'kld': kld, 'kld_target': 16.0, 'mse': 0.001, 'mse_target': 0.001} | summary))
  (root / 'metrics.jsonl').write_text(''.join(
    json.dumps({'step': step, 'train/kld': kld, 'train/mse': 0.1 / step}) + '\n' for step in range(10, 60, 10)))
  for step in (9, 50):
    grids.write_png(root / f'samples/{step}_recon.png', np.full((4, 4), step, np.uint8))
  return root


def test_shows_figures_differences_and_the_newest_samples(tmp_path):
  runs = [run(tmp_path / 'one', 16.1), run(tmp_path / 'two', 4.5, seed=7)]
  compare.write(tmp_path / 'page.html', runs)
  page = (tmp_path / 'page.html').read_text()
  assert re.search(r'<td>KLD</td><td>16.1</td><td class="missed">4.5</td>', page)
  assert re.findall(r'<td>seed</td><td>0</td><td>7</td>', page) and 'targets.kld' not in page
  assert 'two: recon' in page and page.count('data:image/png') == 2
  assert page.count('data:image/svg') == 2  # KLD and MSE; nothing else was measured
  assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_runs_of_one_name_are_told_apart(tmp_path):
  runs = [run(tmp_path / 'a/run', 16.), run(tmp_path / 'b/run', 16.)]
  compare.write(tmp_path / 'page.html', runs)
  assert all(f'<th>{root}</th>' in (tmp_path / 'page.html').read_text() for root in runs)


@pytest.mark.parametrize('missing', ['config.json', 'summary.json'])
def test_an_unfinished_run_is_refused(tmp_path, missing):
  whole, part = run(tmp_path / 'whole', 16.), run(tmp_path / 'part', 16.)
  (part / missing).unlink()
  with pytest.raises(UserError, match='part: holds no finished run'):
    compare.write(tmp_path / 'page.html', [whole, part])
  assert not (tmp_path / 'page.html').exists()


def classifier(root, **summary):
  root.mkdir()
  (root / 'config.json').write_text(json.dumps({'task': 'classifier', 'seed': 0}))
  (root / 'summary.json').write_text(json.dumps({'task': 'classifier'} | summary))
  (root / 'metrics.jsonl').write_text('')
  return root


def test_classifiers_side_by_side(tmp_path):
  one = classifier(tmp_path / 'one', balanced_accuracy=0.8, ci={'balanced_accuracy': [0.7, 0.9]}, usable=False,
                   reasons=['few_held_out', 'looks_at_background'])
  two = classifier(tmp_path / 'two', balanced_accuracy=None, ci=None, usable=None)
  compare.write(tmp_path / 'page.html', [one, two])
  page = (tmp_path / 'page.html').read_text()
  assert '<td>Balanced accuracy</td><td>0.8</td><td>–</td>' in page
  assert '<td>95 %</td><td>0.7 to 0.9</td><td>–</td>' in page
  assert '<td>Can it be used?</td><td>no</td><td>–</td>' in page and 'few_held_out, looks_at_background' in page
  assert 'not at its target' not in page


def test_runs_of_two_tasks_are_refused(tmp_path):
  with pytest.raises(UserError, match='two is a run of the task classifier, one of vae'):
    compare.write(tmp_path / 'page.html', [run(tmp_path / 'one', 16.), classifier(tmp_path / 'two')])
