"""How near made images come to real ones (KID) without copying them (novelty), by the project's contract.

KID: Binkowski et al. 2018, "Demystifying MMD GANs", here on features of VGG16.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from defect_jax import parallel
from defect_jax.data import dataset
from defect_jax.models import features

Images = Float[np.ndarray, 'n h w c']
NAMES = 'kid', 'kid_ci', 'kid_of_training', 'novelty', 'memorised_fraction', 'diversity'
LEAST_REAL = 100  # photos KID is measured against
_CHUNK_PIXELS = 2**17  # of one call of a network
_BLOCK_PIXELS = 2**24  # of the photos whose embeddings are held at a time, about 0.7 GB
MOST_APART = 200  # photos that made ones are compared with by `sample_distance`
_ROWS = 1024  # of the kernel's matrix at a time

_kid_features = jax.jit(features.kid_features)
_embed = jax.jit(features.lpips_embed)


def measure(images: Images, train: Images, dev: Images, seed: int, kid_dev: Images | None = None,
            groups: Sequence[str] = ()) -> dict[str, Any]:
  """NAMES of made images against the photos a model was trained on and against unseen real ones of their size.

  kid_dev: real photos for KID if dev has too few of the very kind. kid_of_training: KID of the training photos
  themselves, about the best to be hoped for. A figure is None if there is too little to measure it: kid and kid_ci
  below 100 photos in kid_dev; novelty and memorised_fraction below 2 in dev or without training photos; kid and
  diversity with a single made image; any of them with images too small for the network. groups: of the training photos,
  where none are held out: then `between_groups` takes the place of the distances of unseen photos.
  """
  result: dict[str, Any] = dict.fromkeys(NAMES)
  side = min(images.shape[1:3])
  kid_dev = dev if kid_dev is None else kid_dev
  if len(kid_dev) >= LEAST_REAL and len(images) > 1 and side >= features.SMALLEST['vgg16']:
    made, real = features_of(images), features_of(kid_dev)
    result |= {'kid': kid(made, real), 'kid_ci': kid_interval(made, real, seed)}
    if len(train) > 1:
      result['kid_of_training'] = kid(features_of(train), real)
  if side < features.SMALLEST['alexnet']:
    return result
  if len(images) and len(train) and len(dev) > 1:
    result |= copies(images, train, nearest_of_images(dev, train))
  elif len(images) and len(set(groups)) > 1:
    result |= copies(images, train, between_groups(train, groups))
  if len(images) > 1:
    result['diversity'] = diversity(_chunks(_embed, jax.device_put(features.load('alexnet')), images))
  return result


def copies(images: Images, train: Images, of_real: Float[np.ndarray, 'm']) -> dict[str, Any]:
  """Novelty and memorised fraction of made images, by the distances of unseen real ones to training photos."""
  of_made = nearest_of_images(images, train)
  return {'novelty': novelty(of_made, of_real), 'memorised_fraction': memorised_fraction(of_made, of_real)}


def features_of(images: Images) -> Float[np.ndarray, 'n 1280']:
  """Features that KID compares, of images in [0, 1] of at least 16 px."""
  return np.concatenate(list(_chunks(_kid_features, jax.device_put(features.load('vgg16')), images)))


def kid(a: Float[np.ndarray, 'n 1280'], b: Float[np.ndarray, 'm 1280']) -> float:
  """Unbiased squared MMD of features, n and m at least 2, by the kernel (x.y / 1280 + 1)^3 (Binkowski et al. 2018,
  equation 4), in float64; 0 on average for equal sources."""
  return float(_mmd2(a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def kid_interval(a: Float[np.ndarray, 'n 1280'], b: Float[np.ndarray, 'm 1280'], seed: int,
                 bootstraps: int = 100) -> tuple[float, float]:
  """95 % interval (low, high) of `kid` over `bootstraps` resamplings of both sides, by percentiles; with 50 images per
  side it holds the true value in some 91 of 100 cases, with 200 in 95."""
  rng = np.random.default_rng(seed)
  times_a, times_b = (rng.multinomial(n, np.full(n, 1 / n), bootstraps) for n in (len(a), len(b)))
  # Of a handful, a resample may hold one image only, again and again: no pair to look at.
  usable = ((times_a > 0).sum(1) > 1) & ((times_b > 0).sum(1) > 1)
  low, high = np.quantile(_mmd2(a, b, times_a[usable], times_b[usable]), (0.025, 0.975))
  return float(low), float(high)


def _mmd2(a, b, times_a, times_b):
  """The unbiased estimate `[R]` for R resamples, in which image i of `a` `[n, F]` comes times_a[r, i] times.

  Within a set it averages over pairs of two different images. An image drawn twice would form pairs with itself, whose
  large kernel would raise every estimate by about k(x, x) / n, so pairs of one index are left out of sum and count.
  """
  a, b, times_a, times_b = (np.float64(x) for x in (a, b, times_a, times_b))
  between = _kernel_sums(a, b, times_a, times_b) / (len(a) * len(b))
  return _within(a, times_a) + _within(b, times_b) - 2 * between


def _within(x, times):
  selves = np.square(times) @ _kernel(np.sum(x * x, 1), x.shape[1])
  return (_kernel_sums(x, x, times, times) - selves) / (times.sum(1)**2 - np.square(times).sum(1))


def _kernel_sums(x, y, times_x, times_y):
  """sum_ij times_x[r, i] times_y[r, j] k(x_i, y_j): `[R]`, without the whole matrix in memory."""
  total = np.zeros(len(times_x))
  for start in range(0, len(x), _ROWS):
    rows = slice(start, start + _ROWS)
    total += np.sum((times_x[:, rows] @ _kernel(x[rows] @ y.T, x.shape[1])) * times_y, 1)
  return total


def _kernel(product, size):
  return (product / size + 1)**3


def nearest(embeddings: Float[np.ndarray, 'n e'], references: Float[np.ndarray, 'm e'],
            allowed: Bool[np.ndarray, 'n m'] | None = None) -> Float[np.ndarray, 'n']:
  """LPIPS from each of `embeddings` to the nearest of `references` (features.lpips_embed), of those `allowed`."""
  # argmin |x - y|^2 = argmin |y|^2 / 2 - x.y; then the distance by differences, since near copies would cancel.
  # scikit-learn's pairwise_distances_argmin took 50 times as long for 32 embeddings, whose rows are that long.
  away = np.sum(np.square(references), 1) / 2 - embeddings @ references.T
  best = np.argmin(away if allowed is None else np.where(allowed, away, np.inf), 1)
  pairs = zip(embeddings, best, strict=True)
  return np.array([np.sum(np.square(x - references[index]), dtype=np.float64) for x, index in pairs])


def novelty(made: Float[np.ndarray, 'n'], real: Float[np.ndarray, 'm']) -> float | None:
  """Median distance (`nearest`) of made images to training photos, divided by that of unseen real photos, so 1 for as
  new as these; None if these are copies of training photos too."""
  scale = np.median(real)
  return float(np.median(made) / scale) if scale > 0 else None


def memorised_fraction(made: Float[np.ndarray, 'n'], real: Float[np.ndarray, 'm']) -> float:
  """Share of made images nearer to a training photo than `copy_distance`; see `novelty`."""
  return float(np.mean(made < copy_distance(real)))


def copy_distance(real: Float[np.ndarray, 'm']) -> float:
  """LPIPS below which an image counts as a copy: the 5th percentile of the distances of unseen real photos."""
  return float(np.quantile(real, 0.05))


def diversity(chunks: Iterable[Float[np.ndarray, 'b e']]) -> float:
  """Mean LPIPS over all pairs of two different images, whose embeddings come in chunks.

  sum_ij |x_i - x_j|^2 = 2 n sum |x_i|^2 - 2 |sum x_i|^2, so one pass suffices.
  """
  count, squares, total = 0, 0., 0.
  for chunk in chunks:
    chunk = np.float64(chunk)
    count, squares, total = count + len(chunk), squares + np.sum(chunk * chunk), total + chunk.sum(0)
  return float(max(2 * (squares - np.sum(total * total) / count) / (count - 1), 0.))


def _chunks(network, params, images):
  size = max(1, _CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
  return parallel.chunks(functools.partial(network, params), images, size)


def between_groups(images: Images, groups: Sequence[str]) -> Float[np.ndarray, 'n']:
  """LPIPS from each image to the nearest of another group, leaving its own out; there are at least two."""
  names, pixels = np.asarray(groups), images.shape[1] * images.shape[2]
  if len(images) * pixels <= _BLOCK_PIXELS:  # each is embedded once
    embeddings = np.concatenate(list(_chunks(_embed, jax.device_put(features.load('alexnet')), images)))
    return nearest(embeddings, embeddings, names[:, None] != names)
  distances = np.empty(len(images))
  for name in np.unique(names):
    own = names == name
    distances[own] = nearest_of_images(images[own], images[~own])
  return distances


def sample_distance(images: Images, train: Images, groups: Sequence[str]) -> float | None:
  """How far made images are from the training photos beside how far these are from one another: the median LPIPS to the
  nearest photo, over the same from each photo to the nearest of another group. Of many photos 200 are taken.

  None below 2 groups, for images too small for the network, and for photos that are all alike.
  """
  some = dataset.spread(len(train), MOST_APART)
  train, groups = train[some], [groups[row] for row in some]
  if len(set(groups)) < 2 or min(images.shape[1:3]) < features.SMALLEST['alexnet']:
    return None
  scale = float(np.median(between_groups(train, groups)))
  return float(np.median(nearest_of_images(images, train))) / scale if scale > 0 else None


def nearest_of_images(images: Images, references: Images) -> Float[np.ndarray, 'n']:
  """`nearest` for images; embeds again for every block of references that fits into memory, mostly the only one."""
  params = jax.device_put(features.load('alexnet'))
  size = max(1, _BLOCK_PIXELS // (images.shape[1] * images.shape[2]))
  distances = []
  for start in range(0, len(references), size):
    block = np.concatenate(list(_chunks(_embed, params, references[start:start + size])))
    distances.append(np.concatenate([nearest(chunk, block) for chunk in _chunks(_embed, params, images)]))
  return np.min(distances, 0)
