"""Jobs of studies: what is finished is not started again."""

import subprocess

import pytest

from defect_jax.config import UserError
from experiments import jobs


def test_a_finished_job_starts_no_process(photo_sets, tmp_path, monkeypatch):
  folder = photo_sets / 'magnetic_tile' / 'magnetic_tile'
  settings = {'data.source': 'folder', 'data.path': folder, 'data.defects': 'crack', 'data.few_shot': 8}

  def run(**more):
    return jobs.run('configs/vae_split.py:tiny', tmp_path / 'run', settings | more)

  assert run(**{'steps.total': 1})['steps'] == 1
  told = run(**{'steps.total': 2})
  assert told['steps'] == 2
  monkeypatch.setattr(subprocess, 'run', lambda *_: pytest.fail('a process was started'))
  assert run(**{'steps.total': 2}) == told
  with pytest.raises(UserError, match='seed differ'):
    run(**{'steps.total': 2, 'seed': 1})


def test_a_job_that_fails_ends_the_study_with_its_status(tmp_path, capfd):
  with pytest.raises(SystemExit) as caught:
    jobs.run('configs/anomaly.py', tmp_path / 'run', {'no_such_key': 1})
  assert caught.value.code == 2
  assert 'no_such_key' in capfd.readouterr().err
