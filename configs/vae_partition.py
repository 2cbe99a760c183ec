"""Streams as partitions of one parameter tree: E1 (KLD) the posterior heads, E2 (MSE) the trunk, D (MSE) the decoder.

  python -m defect_jax.main --config=configs/vae_partition.py

No parameter is moved by both losses. The KLD alone moves the heads, so they need the MSE's pull on the trunk to keep
information: the KLD swings more widely than in vae_split.py.
"""

from ml_collections import ConfigDict

from configs import vae_split


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny` as in vae_split.py."""
  config = vae_split.get_config(arg)
  config.streams.E1.params = 'encoder/(mean|logvar)/.*'
  config.streams.E2.params = 'encoder/(down|block)_.*'
  return config
