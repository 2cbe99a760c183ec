"""A VAE as what the Trainer trains: photos with augmentation and noise in, posterior and reconstruction out."""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from defect_jax.data.dataset import Dataset, as_float, mean_image
from defect_jax.errors import UserError
from defect_jax.losses import Outputs
from defect_jax.models.normalization import Normalizer
from defect_jax.models.vae import Vae
from defect_jax.training.routing import Batch, Params
from defect_jax.training.trainer import TrainState

Augment = Callable[[Float[Array, 'b h w c'], Key[Array, 'b']], Float[Array, 'b h w c']]


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """A trainer.Model of a VAE; `corrupt` changes what the encoder alone sees, so that it learns to leave that out."""
  vae: Vae
  augment: Augment = lambda images, keys: images
  corrupt: Augment | None = None

  def inputs(self, batch: Batch, keys: Key[Array, 'b'], slots: Int[Array, 'b']) -> Batch:
    """{'image': the target, 'input': what is encoded, 'noise' `[b, z]`}."""
    for_noise, for_augment = jax.vmap(jax.random.split, out_axes=1)(keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, (self.vae.latent,)))(for_noise)
    image = self.augment(batch['image'], for_augment)
    seen = self.corrupt(image, jax.vmap(jax.random.fold_in, (0, None))(for_augment, 1)) if self.corrupt else image
    return {'image': image, 'input': seen, 'noise': noise}

  def outputs(self, params: Params, state: TrainState, batch: Batch) -> Outputs:
    """{'posterior', 'recon'} by the state's normalizer."""
    posterior = self.vae.encode(params['encoder'], state.normalizer, batch['input'])
    recon = self.vae.decode(params['decoder'], state.normalizer, posterior.sample(batch['noise']))
    return {'posterior': posterior, 'recon': recon}


def normalizer_of(photos: Dataset) -> tuple[Normalizer, float]:
  """Normalizer by the photos' mean image, and their variance about it; UserError where all of them are the same."""
  mean = mean_image(photos)
  variance = sum(np.mean(np.square(as_float(photos[row]) - mean)) for row in range(len(photos))) / len(photos)
  if variance < 1e-10:
    raise UserError('data: all photos are the same image, so there is nothing to learn; check data.path')
  return Normalizer(jnp.float32(mean), jnp.float32(math.sqrt(variance))), float(variance)
