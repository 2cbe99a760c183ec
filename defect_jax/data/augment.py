"""Light augmentation of training images on the device."""

import dm_pix as pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def augment(images: Float[Array, 'b h w c'], keys: Key[Array, 'b'], *, flip_horizontal: bool = False,
            flip_vertical: bool = False, turn: bool = False, rotate: float = 0.0, shift: int = 0,
            brightness: float = 0.0, contrast: float = 0.0) -> Float[Array, 'b h w c']:
  """Flips, turns, shifts and brightens images in [0, 1], each by its own key, so that neither batch nor device counts.

  flip_horizontal, flip_vertical: whether to mirror half of the images. turn: whether to rotate each image, a square
  one, by 0, 90, 180 or 270 degrees. rotate: largest rotation in degrees; shift: largest shift in pixels along each
  axis, below the side; what comes in is the reflected image. brightness: largest amount added or taken away. contrast:
  largest factor above or below 1, less 1, of the differences from the image's mean. The result is clipped to [0, 1].
  """
  if not (flip_horizontal or flip_vertical or turn or rotate or shift or brightness or contrast):
    return images

  def augmented(image, key):
    flip_x, flip_y, move, light = jax.random.split(key, 4)
    if flip_horizontal:
      image = pix.random_flip_left_right(flip_x, image)
    if flip_vertical:
      image = pix.random_flip_up_down(flip_y, image)
    # 4: below that a fold is the split of that number, whose flip would go with one direction of the rotation.
    for_rot90, for_angle, for_contrast = (jax.random.fold_in(key, number) for number in (0, 4, 2))
    if turn:
      count = jax.random.randint(for_rot90, (), 0, 4)
      image = jax.lax.switch(count, [lambda x, k=k: pix.rot90(x, k) for k in range(4)], image)
    if rotate:
      angle = jax.random.uniform(for_angle, minval=-rotate, maxval=rotate)
      image = pix.rotate(image, jnp.deg2rad(angle), mode='mirror')
    if shift:
      padded = jnp.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode='reflect')
      image = pix.random_crop(move, padded, image.shape)
    if brightness:
      image = jnp.clip(pix.random_brightness(light, image, brightness), 0, 1)
    if contrast:
      factor = jax.random.uniform(for_contrast, minval=1 - contrast, maxval=1 + contrast)
      image = jnp.clip(pix.adjust_contrast(image, factor), 0, 1)
    return image

  return jax.vmap(augmented)(images, keys)


def noise_patch(images: Float[Array, 'b h w c'], keys: Key[Array, 'b'], *, strength: float, grain: int,
                ) -> Float[Array, 'b h w c']:
  """Adds smooth noise to a random area of each image: what a denoising training teaches a model to leave out.

  The noise of an image is normal on a grid of `grain` px, interpolated, as strong as `strength` times a random share,
  and present where a second such noise is above 0, so that its edges are sharp (after Kascenas et al. 2022, "Denoising
  Autoencoders for Unsupervised Anomaly Detection in Brain MRI", who add it everywhere). The result is clipped to
  [0, 1]. `strength`: largest standard deviation, in intensities; 0 leaves the images as they are.
  """
  if not strength:
    return images

  def with_patch(image, key):
    height, width, channels = image.shape
    for_noise, for_area, for_strength, for_shift = jax.random.split(key, 4)
    coarse = -(-height // grain) + 1, -(-width // grain) + 1
    shift = jax.random.randint(for_shift, (2,), 0, grain)

    def smooth(key, channels):
      noise = jax.random.normal(key, (*coarse, channels))
      fine = jax.image.resize(noise, (coarse[0] * grain, coarse[1] * grain, channels), 'linear')
      return jax.lax.dynamic_slice(fine, (*shift, 0), (height, width, channels))

    noise = strength * jax.random.uniform(for_strength) * smooth(for_noise, channels)
    return jnp.clip(image + jnp.where(smooth(for_area, 1) > 0, noise, 0), 0, 1)

  return jax.vmap(with_patch)(images, keys)
