"""What KID sees at 64 px: of the training photos themselves, with noise, with blur, and as a VAE reconstructs them.

  python -m experiments.kid_sensitivity --vae=runs/vae_sharp

Against photos of the dev part, as the task generate measures it. Prints a table.
"""

from collections.abc import Iterator

import jax
import numpy as np
from absl import flags
from jaxtyping import Float
from scipy import ndimage

from configs import generate as config_of
from defect_jax.evaluation import generation
from defect_jax.tasks import generate
from defect_jax.trained.vae import VaePredictor, open_vae
from experiments import command

FLAGS = command.define()
flags.DEFINE_string('vae', None, 'Workdir of a trained VAE.', required=True, flag_values=FLAGS)

Images = Float[np.ndarray, 'n s s c']
_NOISE = (0.002, 0.005, 0.01)  # standard deviation, intensities in [0, 1]
_BLUR = (0.3, 0.5)  # standard deviation, px


def variants(vae: VaePredictor, photos: Images) -> Iterator[tuple[str, Images]]:
  """Words and images of all that is measured."""
  yield 'photos', photos
  noise = np.random.default_rng(0).normal(size=photos.shape)
  yield from ((f'photos with white noise of {sigma:.1%}', photos + sigma * noise) for sigma in _NOISE)
  for sigma in _BLUR:
    yield f'photos blurred by {sigma} px', ndimage.gaussian_filter(photos, (0, sigma, sigma, 0))
  yield 'reconstructions', np.asarray(jax.jit(vae.decode)(vae.encode(photos).mean))


def main(flags: flags.FlagValues) -> None:
  vae = open_vae(flags.vae)
  photos, config = vae.photos().images(), config_of.get_config()
  real = generate.real_photos(vae, config.measure.part, defects=generate.kid_classes(vae, config.measure.kid_elpv))
  print('| images | KID |\n|---|---|')
  for words, images in variants(vae, photos):
    measures = generation.measure(np.float32(np.clip(images, 0, 1)), photos[:0], photos[:0], 0, real)
    print(f'| {words} | {measures["kid"]:.3f} |', flush=True)


if __name__ == '__main__':
  command.run(main, FLAGS)
