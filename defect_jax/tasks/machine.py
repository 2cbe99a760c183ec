"""What a job runs on and takes of it, as every summary tells it."""

import re
import resource
from pathlib import Path

import jax

from defect_jax import parallel

_STATUS = Path('/proc/self/status')


def used():
  """{'devices', 'platform', 'peak_memory_mb'} of this process.

  The peak is the kernel's high-water mark where it tells one: what getrusage says is inherited from a process that
  started this one and was larger.
  """
  found = re.search(r'VmHWM:\s+(\d+) kB', _STATUS.read_text()) if _STATUS.exists() else None
  peak = int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return {'devices': parallel.devices(), 'platform': jax.default_backend(), 'peak_memory_mb': peak / 1024}
