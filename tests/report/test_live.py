"""The page of a run at work, from the files of its folder."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from defect_jax.report import grids, live, page
from defect_jax.runs.command import Command
from defect_jax.runs.folder import Workdir
from defect_jax.runs.status import Status


@pytest.fixture()
def workdir(tmp_path):
  """An open run that has done two logged steps."""
  folder = Workdir(tmp_path / 'run')
  folder.command = Command(('--config=configs/vae_split.py',))
  folder.first_lines = ['photos: 25 of dent']
  folder.check(ConfigDict({'task': 'vae'}))
  folder.open()
  for step in (10, 20):
    folder.append_metrics({'step': step, 'train/kld': 2.0 * step, 'target/kld': 16.0})
  folder.status.update(state='running', step=20, steps_total=100, message='step 20/100  5.0 steps/s  0:16 left')
  grids.write_png(folder.sample(10, 'recon'), np.zeros((4, 4), np.uint8))
  grids.write_png(folder.sample(20, 'recon'), np.full((4, 4), 255, np.uint8))
  yield folder
  folder.close('finished')


def test_a_run_at_work(workdir):
  live.write(workdir, 5)
  text = workdir.report_html.read_text()
  assert 'http-equiv="refresh" content="5"' in text and 'It is running.' in text
  assert 'step 20/100  5.0 steps/s  0:16 left' in text and 'photos: 25 of dent' in text
  assert 'Step 20: photos, their reconstructions' in text and 'Step 10' not in text
  assert text.count('data:image/svg+xml') == 1  # the KLD; of the MSE nothing is known yet


def test_what_is_at_work_inside_is_shown(workdir):
  inner = Workdir(workdir.root / 'folds' / '1', workdir)
  inner.root.mkdir(parents=True)
  status = Status(inner.status_json)
  status.update(state='running', message='step 3/9')
  live.write(workdir, 5)
  status.end()
  assert 'folds/1: step 3/9' in workdir.report_html.read_text()


def test_a_stopped_run_says_how_it_goes_on(workdir):
  workdir.close('stopped', 'stopped at step 20 of 100, saved; the same command goes on')
  live.write(workdir, None)
  text = workdir.report_html.read_text()
  assert 'It was stopped.' in text and 'refresh' not in text
  assert f'python -m defect_jax.main --config=configs/vae_split.py --workdir={workdir.root}' in text


def test_the_page_of_the_task_stays(workdir):
  page.write(workdir.report_html, 'The result', [])
  live.write(workdir, 5)
  assert 'The result' in workdir.report_html.read_text()


def test_the_thread_writes_nothing_for_a_run_that_was_refused(tmp_path):
  drawn = live.Live(Workdir(tmp_path / 'refused'))
  drawn.end()
  assert not (tmp_path / 'refused').exists()


def test_the_thread_leaves_the_page_as_the_run_ended(workdir):
  drawn = live.Live(workdir)
  workdir.close('failed', 'ValueError: no memory')
  drawn.end()
  assert 'It failed.' in workdir.report_html.read_text() and 'no memory' in workdir.report_html.read_text()
