"""The lock of a run, between processes."""

import subprocess
import sys

import pytest

from defect_jax.runs.lock import Held, Lock

TRY = """
import sys, pathlib
from defect_jax.runs.lock import Held, Lock
try:
  Lock(pathlib.Path(sys.argv[1])).check()
  print('free')
except Held:
  print('held')
"""


def seen(path):
  """What another process sees of the lock."""
  return subprocess.run([sys.executable, '-c', TRY, str(path)], text=True, capture_output=True).stdout.strip()


def test_one_process_holds_it_until_it_gives_it_back(tmp_path):
  path = tmp_path / 'lock'
  lock = Lock(path)
  lock.check()
  assert not path.exists() and not lock.acquired
  lock.acquire()
  assert lock.acquired and seen(path) == 'held'
  lock.release()
  lock.release()
  assert not lock.acquired and seen(path) == 'free'


def test_a_lock_of_another_process_is_refused(tmp_path):
  path = tmp_path / 'lock'
  code = f"import pathlib; from defect_jax.runs.lock import Lock; lock = Lock(pathlib.Path({str(path)!r})); " \
         "lock.acquire(); print('held', flush=True); input()"
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
  with subprocess.Popen([sys.executable, '-c', code], **pipes) as other:
    assert other.stdout.readline() == 'held\n'
    with pytest.raises(Held):
      Lock(path).acquire()
    other.communicate('\n')
  Lock(path).acquire()
