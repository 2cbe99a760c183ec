"""Conventional VAE: one Adam moves everything by the weighted sum of both losses (elbo, its KLD weighted by beta).

  python -m defect_jax.main --config=configs/vae_joint.py

Same architecture, photos, targets and budget as vae_split.py, so that the report shows how far the pair (KLD, MSE)
that such a training ends at is from the targets. --config.control.policy=pi is ControlVAE's law on beta.
"""

from ml_collections import ConfigDict

from configs import vae_split


def get_config(arg: str | None = None) -> ConfigDict:
  """`tiny` as in vae_split.py."""
  config = vae_split.get_config(arg)
  config.streams = ConfigDict(
      {'joint': {'loss': 'elbo', 'params': '(encoder|decoder)/.*', 'optimizer': 'adam', 'lr': 0.002}})
  config.control.policy = 'constant'
  return config
