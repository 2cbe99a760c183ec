"""The page of a generate run: what the images are worth, and each beside the training photo nearest to it."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from defect_jax.report import grids, page
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import copies, number

Images = Float[np.ndarray, 'n s s c']
_SHOWN = 48
_BYTES = 900_000  # of images on the page before compression
_FACTS = {'Distance from the photos over that between photos': 'sample_distance',
          'Images that show a defect': 'visible', 'Memorised': 'memorised_fraction',
          'Photos of real defects that show by that measure': 'visible_real', 'KID': 'kid', 'Novelty': 'novelty',
          'Diversity, mean LPIPS of pairs': 'diversity', 'Images': 'images', 'Seconds per image': 'seconds_per_image'}


def write(path: Path, title: str, config: str, summary: Mapping[str, Any], made: Images, train: Images,
          real: Images, answers: Sequence[Answer] = ()) -> None:
  """Writes the page of made images, beside the training photos and other real photos."""
  shown = made[:max(3, min(_SHOWN, _BYTES // int(2 * np.prod(made.shape[1:]))))]
  nearest = [train[np.argmin(np.mean(np.square(train - image), axis=(1, 2, 3)))] for image in shown]
  page.write(path, title, [
      page.facts(collections.defaultdict(lambda: None, summary), _FACTS),
      page.Section('Made images', [
          page.Text('Each tile: a made image, and the training photo nearest to it. The first '
                    f'{len(shown)} of {len(made)}, not chosen.'),
          page.Tiles([page.png(grids.grid([pair])) for pair in zip(shown, nearest, strict=True)],
                     'made image {} and the nearest training photo')]),
      page.Section('Real photos', [
          page.Text('Photos that were not trained on, to compare with.'),
          page.Tiles([page.png(grids.grid([[image]])) for image in real[:len(shown) // 2]], 'real photo {}')])],
      config, verdict=verdict(summary, len(real) > 1), answers=answers)


def verdict(summary: Mapping[str, Any], held_out: bool = True) -> Iterator[str]:
  """Sentences on realism, copies and novelty; held_out: whether there are photos that were not trained on."""
  yield f'{summary["images"]} images, {number(summary["images_per_second"])} per second.'
  if summary['kid'] is None:
    yield 'Realism was not measured: it takes 100 real photos that were not trained on.'
  else:
    low, high = summary['kid_ci']
    yield (f'KID {summary["kid"]:.2f} ({low:.2f} to {high:.2f}) against {summary["measured_against"]}: 0 is as close '
           'to the real photos as other real photos are, 0.25 is good for these small images, above 1 is poor. The '
           f'training photos themselves reach {summary["kid_of_training"]:.2f}.')
  yield from copies(summary, 'training photo', 'photos')
  if not held_out and summary['novelty'] is not None:
    yield ('All photos were trained on, so new and copied are said by how far these are from one another, those of one '
           'part left out, where held-out photos would be the measure.')
