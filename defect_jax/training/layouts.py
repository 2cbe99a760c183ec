"""Checkpoints of earlier versions, read as this one lays them out.

A checkpoint holds {'state': TrainState.state_dict, 'callbacks', 'data' (SHA-256 of what is learnt from, uint8 `[32]`),
'history', 'request'}.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from defect_jax.training.routing import flat

UNKNOWN = np.zeros(32, np.uint8)  # the digest of the data where a version did not keep it


def current(saved: Mapping[str, Any]) -> dict[str, Any]:
  """The tree of a checkpoint in today's layout."""
  state = saved.get('state', {})
  if 'descent' in state:  # classifiers and inpainting: one loss, an optimizer without streams
    own = {name: value for name, value in state['descent'].items() if name != 'frozen'}
    networks = own['params']
    own['opt_state'] = {'inner_states': {min(networks): {'inner_state': _by_stream(own['opt_state'], networks)}}}
    return {**saved, 'state': own | {'control': {}, 'normalizer': {}}, 'callbacks': state.get('watch', {}),
            'data': state.get('seen', UNKNOWN)}
  if 'standard' in state:  # VAEs
    own = {name: value for name, value in state.items() if name != 'standard'}
    own['normalizer'] = {'mean': state['standard']['center'], 'std': state['standard']['scale']}
    return {**saved, 'state': own, 'callbacks': {}, 'data': UNKNOWN}
  return dict(saved)


def data_of(saved: Mapping[str, Any]) -> str | None:
  """The digest of the data that a checkpoint of today's layout is of, hex; None where its version kept none."""
  return None if np.array_equal(digest := saved.get('data', UNKNOWN), UNKNOWN) else np.uint8(digest).tobytes().hex()


def _by_stream(node, networks):
  """An optimizer's state where trees like the parameters become {network: {path: array}}."""
  if not isinstance(node, dict):
    return node
  if node and node.keys() == networks.keys():
    return {name: {f'{name}/{path}': leaf for path, leaf in flat(tree).items()} for name, tree in node.items()}
  return {name: _by_stream(child, networks) for name, child in node.items()}
