"""A VAE as what the Trainer trains: photos with augmentation and noise in, posterior and reconstruction out."""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import Array, Float, Int, Key

from defect_jax.losses import Outputs
from defect_jax.models.vae import Vae
from defect_jax.training.routing import Batch, Params
from defect_jax.training.trainer import TrainState

Augment = Callable[[Float[Array, 'b h w c'], Key[Array, 'b']], Float[Array, 'b h w c']]


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """A trainer.Model of a VAE.

  corrupt: changes what the encoder alone sees, so that it learns to leave out what is added (a denoising VAE).
  """
  vae: Vae
  augment: Augment = lambda images, keys: images
  corrupt: Augment | None = None

  def inputs(self, batch: Batch, keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> Batch:
    """{'image': the target, 'input': what is encoded, 'noise' `[b, z]`}."""
    del slots
    for_noise, for_augment = jax.vmap(jax.random.split, out_axes=1)(keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, (self.vae.latent,)))(for_noise)
    image = self.augment(batch['image'], for_augment)
    seen = image
    if self.corrupt:
      seen = self.corrupt(image, jax.vmap(jax.random.fold_in, (0, None))(for_augment, 1))
    return {'image': image, 'input': seen, 'noise': noise}

  def outputs(self, params: Params, state: TrainState, batch: Batch) -> Outputs:
    """{'posterior', 'recon'} by the state's normalizer."""
    posterior = self.vae.encode(params['encoder'], state.normalizer, batch['input'])
    return {'posterior': posterior,
            'recon': self.vae.decode(params['decoder'], state.normalizer, posterior.sample(batch['noise']))}
