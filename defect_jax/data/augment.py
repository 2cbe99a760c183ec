"""Light augmentation of training images on the device."""

import dm_pix as pix
import jax
import jax.numpy as jnp


def augment(images, keys, *, flip_horizontal=False, flip_vertical=False, shift=0, brightness=0.0):
  """Flips, shifts and brightens each image by its own key, so that the result depends on neither batch nor device.

  Args:
    images: float32 `[B, H, W, C]` in [0, 1].
    keys: PRNG keys `[B]`.
    flip_horizontal, flip_vertical: whether to mirror half of the images left to right, top to bottom.
    shift: largest shift in pixels along each axis, below H and W; what comes in from outside is the reflected image.
    brightness: largest amount added or taken away; the result is clipped to [0, 1].

  Returns float32 `[B, H, W, C]`; with everything off `images` itself.
  """
  if not (flip_horizontal or flip_vertical or shift or brightness):
    return images

  def one(image, key):
    flip_x, flip_y, move, light = jax.random.split(key, 4)
    if flip_horizontal:
      image = pix.random_flip_left_right(flip_x, image)
    if flip_vertical:
      image = pix.random_flip_up_down(flip_y, image)
    if shift:
      padded = jnp.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode='reflect')
      image = pix.random_crop(move, padded, image.shape)
    if brightness:
      image = jnp.clip(pix.random_brightness(light, image, brightness), 0, 1)
    return image

  return jax.vmap(one)(images, keys)
