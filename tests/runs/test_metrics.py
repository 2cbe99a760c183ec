"""metrics.jsonl holds whole lines of JSON, up to the step that a run goes on from."""

import pytest

from defect_jax.runs.atomic import DiskFull, plain
from defect_jax.runs.folder import Workdir


@pytest.fixture
def workdir(tmp_path):
  workdir = Workdir(tmp_path)
  for step in (5, 10):
    workdir.append_metrics({'step': step, 'train/kld': 1.5})
  return workdir


def test_metrics_on_a_full_disk_keep_whole_lines(workdir, monkeypatch):
  before = workdir.metrics_jsonl.read_bytes()

  class HalfFull:
    """A file that takes 5 bytes and no more."""

    def __init__(self, path, *arguments, **keywords):
      self.file = real(path, *arguments, **keywords)

    def __enter__(self):
      return self

    def __exit__(self, *_):
      self.file.close()

    def __getattr__(self, name):
      return getattr(self.file, name)

    def write(self, data):
      return self.file.write(data[:5])

  real = open
  monkeypatch.setattr('builtins.open', HalfFull)
  with pytest.raises(DiskFull, match=r'metrics\.jsonl'):
    workdir.append_metrics({'step': 15})
  monkeypatch.undo()
  assert workdir.metrics_jsonl.read_bytes() == before


def test_metrics_are_cut_back_to_a_step(workdir):
  whole = workdir.metrics_jsonl.read_bytes()
  workdir.append_metrics({'step': 15, 'request': {'id': 1}})
  with open(workdir.metrics_jsonl, 'ab') as file:
    file.write(b'{"step": 20, "train/kl')
  assert [row['step'] for row in workdir.read_metrics()] == [5, 10, 15]
  workdir.cut_back(10)
  assert workdir.metrics_jsonl.read_bytes() == whole
  stamp = workdir.metrics_jsonl.stat().st_mtime_ns
  workdir.cut_back(10)
  assert workdir.metrics_jsonl.stat().st_mtime_ns == stamp
  workdir.cut_back(0)
  assert workdir.metrics_jsonl.read_bytes() == b''


def test_metrics_hold_only_json(tmp_path):
  np = pytest.importorskip('numpy')
  workdir = Workdir(tmp_path)
  workdir.append_metrics({'step': np.int64(1), 'a': np.float32(0.5), 'b': float('nan'), 'c': np.array([1, 2])})
  assert workdir.metrics_jsonl.read_text() == '{"step": 1, "a": 0.5, "b": null, "c": [1, 2]}\n'
  assert plain({'x': (np.float32(np.inf), 1)}) == {'x': [None, 1]}


def test_seconds_of_all_sessions(tmp_path):
  assert Workdir(tmp_path / 'none').seconds_spent() == 0
  workdir = Workdir(tmp_path)
  for row in ({'step': 10, 'seconds': 1.5}, {'step': 20, 'seconds': 2.75}, {'step': 20, 'request': {'id': 1}}):
    workdir.append_metrics(row)
  assert workdir.seconds_spent() == 2.75
