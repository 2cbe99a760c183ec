"""Files are whole at any moment, on a full disk too."""

import errno
import os

import pytest

from defect_jax.runs import atomic
from defect_jax.runs.atomic import DiskFull, write_atomic


def fail_writes(monkeypatch, name, code=errno.ENOSPC):
  def fail(*_):
    raise OSError(code, os.strerror(code))
  monkeypatch.setattr(atomic.os, name, fail)


@pytest.mark.parametrize('step', ['replace', 'fsync'])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
  path = tmp_path / 'state.json'
  write_atomic(path, 'old')
  fail_writes(monkeypatch, step)
  with pytest.raises(DiskFull, match=r'^disk full while writing .*state\.json; free space'):
    write_atomic(path, b'new')
  assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {'state.json': 'old'}


def test_a_really_full_disk():
  # /dev/full refuses every byte; a folder of it would be needed for write_atomic, so the descriptor is used here.
  if not os.path.exists('/dev/full'):
    pytest.skip('no /dev/full here')
  with pytest.raises(DiskFull, match='disk full'), atomic.disk_full_named('x'), open('/dev/full', 'wb', 0) as file:
    file.write(b'x')
