"""requests.json, by which other programs pause, stop and steer a run."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from absl import logging

from defect_jax.registry import LOSSES

_KEYS = {'id', 'pause', 'stop', 'targets'}


class Requests:
  """Reads requests.json, and warns once of each content that is malformed."""

  def __init__(self, path: Path):
    self._path = path
    self._warned_of: bytes | None = None

  def read(self, last: int = 0, losses: Container[str] = LOSSES) -> dict[str, Any] | None:
    """The newest {'id', 'pause', 'stop', 'targets': {some of `losses`: target}}; None if its id is not above `last`."""
    text = b''
    try:
      text = self._path.read_bytes()
      request = _checked(json.loads(text), losses)
    except FileNotFoundError:
      return None
    except (OSError, ValueError, RecursionError) as error:
      if self._warned_of != text:
        logging.warning('%s is ignored: %s', self._path, error)
      self._warned_of = text
      return None
    return request if request['id'] > last else None


def _checked(value: Any, losses: Container[str]) -> dict[str, Any]:
  """A request with every key, or ValueError saying what is wrong with it."""
  if not isinstance(value, dict) or (unknown := value.keys() - _KEYS):
    raise ValueError(f'unknown keys {sorted(unknown)}' if isinstance(value, dict) else 'not an object')
  if type(value.get('id')) is not int or not 0 <= value['id'] < 2**31:
    raise ValueError(f'id must be a whole number from 0 to 2147483647, not {value.get("id")!r}')
  for key in ('pause', 'stop'):
    if not isinstance(value.get(key, False), bool):
      raise ValueError(f'{key} must be true or false, not {value[key]!r}')
  targets = value.get('targets', {})
  if not isinstance(targets, dict):
    raise ValueError(f'targets must be an object, not {targets!r}')
  for name, target in targets.items():
    if name not in losses:
      raise ValueError(f'targets.{name}: the run has no target for such a loss')
    if not isinstance(target, int | float) or isinstance(target, bool) or not 0 < target <= 1e30:
      raise ValueError(f'targets.{name} must be a number above 0 and up to 1e30, not {target!r}')
  return {'id': value['id'], 'pause': value.get('pause', False), 'stop': value.get('stop', False), 'targets': targets}
