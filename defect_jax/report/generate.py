"""The page of a generate run: what the images are worth, and each beside the training photo nearest to it."""

import numpy as np

from defect_jax.report import grids, page
from defect_jax.report.page import png
from defect_jax.report.verdict import copies, number

_SHOWN = 48
_BYTES = 900_000  # of images on the page before compression


def write(path, title, config, summary, made, train, real):
  """Writes the page; it is whole or not there.

  Args:
    path: of the HTML file. title: text. config: ConfigDict. summary: of the task.
    made, train, real: `[N, S, S, C]` in [0, 1], made images, training photos, real photos.
  """
  shown = made[:max(3, min(_SHOWN, _BYTES // int(2 * np.prod(made.shape[1:]))))]
  nearest = [train[np.argmin(np.mean(np.square(train - image), axis=(1, 2, 3)))] for image in shown]
  page.write(
    path, 'generate.html', config, title=f'{title}: images by {config.sampler.name}', verdict=verdict(summary),
    facts=_facts(summary),
    pairs=[png(grids.grid([pair])) for pair in zip(shown, nearest, strict=True)],
    real=[png(grids.grid([[image]])) for image in real[:len(shown) // 2]], images=len(made))


def verdict(summary):
  """Sentences on realism, copies and novelty."""
  yield f'{summary["images"]} images, {number(summary["images_per_second"])} a second.'
  if summary['kid'] is None:
    yield 'Realism was not measured: it takes 100 real photos that were not trained on.'
  else:
    low, high = summary['kid_ci']
    yield (f'KID {summary["kid"]:.2f} ({low:.2f} to {high:.2f}) against {summary["measured_against"]}: 0 is as close '
           'to the real photos as other real photos are, 0.25 is good for these small images, above 1 is poor. The '
           f'training photos themselves reach {summary["kid_of_training"]:.2f}.')
  yield from copies(summary, 'training photo', 'photos')


def _facts(summary):
  names = [('KID', 'kid'), ('Novelty', 'novelty'), ('Memorised', 'memorised_fraction'),
           ('Diversity, mean LPIPS of pairs', 'diversity'), ('Images', 'images'),
           ('Seconds an image', 'seconds_per_image')]
  return [(words, number(summary[name])) for words, name in names]
