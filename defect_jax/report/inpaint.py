"""The page of an inpaint run: what was changed where, and the made crops."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from defect_jax.data import photos
from defect_jax.diffusion import geometry
from defect_jax.imagesets import manifest, writer
from defect_jax.report import page
from defect_jax.report.answers import Answer
from defect_jax.report.verdict import copies, number

_FIGURES, _SHEET = 3, 36
_WIDTH, _HEIGHT = 420, 560  # pixels of a panel, at most
_TILE, _GAP = 128, 8  # pixels of a tile, between panels
_FACTS = {'Images that show a defect': 'visible', 'Defects beside the part': 'beside_part',
          'Memorised': 'memorised_fraction', 'Real defects that show by that measure': 'visible_real',
          'Photos skipped': 'skipped',
          'Pixels changed outside the mask, at most': 'changed_outside_mask', 'KID': 'kid', 'Novelty': 'novelty',
          'Images': 'images', 'Diversity, mean LPIPS of pairs': 'diversity',
          'Seconds per image': 'seconds_per_image', 'Seconds to compile': 'compile_seconds'}
_LOOK = (('Beside the part', 'beside_images', 'Defects that lie beside the part by more than half. The part is what '
          'stands out from the background of the photo.'),
         ('Nothing to see', 'unseen_images', 'Images whose changed area is no more unusual than that of good photos.'))
_ORANGE, _RED, _EDGE = (255, 140, 0), (220, 0, 0), (200, 200, 200)


def write(path: Path, title: str, config: str, summary: Mapping[str, Any], root: Path, photo_folder: Path,
          made: Sequence[manifest.Made], answers: Sequence[Answer] = ()) -> None:
  """Writes the page of the set in `root`, whose sources lie in `photo_folder`."""
  crops = [_rgb(writer.read_levels(root / str(image.crop_file))) for image in made[:_SHEET]]
  for crop in crops:
    crop.thumbnail((_TILE, _TILE))
  page.write(path, f'{title}: inpainted photos', [
      page.facts(collections.defaultdict(lambda: None, summary), _FACTS),
      page.Section('What was changed', [
          page.Text('Left the photo with the crop (orange) and the target area (red), in the middle the augmented '
                    'photo, on the right their difference: darker is more.'),
          page.Pictures([(page.picture(figure(root, photo_folder, image)), f'Image {image.index}: {image.source}, '
                          f'"{image.prompt}", {image.sampler}, {image.steps} steps, guidance {number(image.guidance)}.')
                         for image in made[:_FIGURES]], 'original, augmented and difference')]),
      *(page.Section(title, [page.Text(words), page.Pictures(
          [(page.thumbnail(figure(root, photo_folder, image), 3 * _WIDTH), f'Image {image.index}: {image.source}.')
           for image in [image for image in made if image.index in summary.get(key, ())][:_FIGURES]],
          'photo, image and difference')]) for title, key, words in _LOOK),
      page.Section('Contact sheet', [
          page.Text(f'The crops of the first {len(crops)} of {len(made)} images, not chosen.'),
          page.Tiles([page.picture(np.asarray(crop)) for crop in crops], 'crop {}', 0)]),
      page.Section('Skipped photos', [page.Lines(summary['skipped_photos'])])], config, verdict=verdict(summary),
             answers=answers)


def verdict(summary: Mapping[str, Any]) -> Iterator[str]:
  """Sentences on what was made, what was left alone, and realism."""
  yield f'{summary["images"]} images by {summary["model"]}, {number(summary["images_per_second"])} per second.'
  if summary['model'] == 'random':
    yield 'The weights are random: the images show noise and are for trying the command only.'
  if summary['passed'] is not None:
    yield (f'The filter passes {summary["passed"]} images as reading like the asked defect; of the others '
           '("passed": 0 in the manifest) the best candidate is kept.')
  if (changed := summary['changed_outside_mask']) is not None:
    yield ('Outside the masks every pixel is that of the original.' if changed == 0 else
           f'Outside the masks up to {changed} pixels of an image changed.')
  if summary['kid'] is None:
    yield f'Realism was not measured: it takes 100 real defects, and there were {summary["measured_against"]}.'
  else:
    low, high = summary['kid_ci']
    yield (f'KID {summary["kid"]:.2f} ({low:.2f} to {high:.2f}) against {summary["measured_against"]}; 0 is as close '
           'to them as other real defects are.')
  yield from copies(summary, 'real defect', 'defects')


def figure(root: Path, photo_folder: Path, made: manifest.Made) -> UInt8[np.ndarray, 'h w 3']:
  """The photo with crop (orange) and target area (red), the augmented photo, the difference."""
  assert made.source and made.crop and made.target, 'every inpainted image has them'
  photo = photos.decode(photo_folder / made.source, made.source, made.bits or 16)
  after = writer.read_levels(root / made.file)
  before = _panel(photo)
  panels = [before, _panel(after), _panel(geometry.difference(photo, after))]
  draw, scale = ImageDraw.Draw(before), before.width / photo.shape[1]
  for (left, top, across, down), colour, away in ((made.crop, _ORANGE, 2), (made.target, _RED, 0)):
    # The crop's box is drawn around it, so that it is seen where the target area is all of the crop.
    first = scale * left - away, scale * top - away
    last = scale * (left + across) - 1 + away, scale * (top + down) - 1 + away
    # A box of less than a pixel here is drawn as one.
    draw.rectangle([*first, *map(max, first, last)], outline=colour, width=2)
  paper = Image.new('RGB', (3 * before.width + 2 * _GAP, before.height), 'white')
  for place, panel in enumerate(panels):
    ImageDraw.Draw(panel).rectangle([0, 0, panel.width - 1, panel.height - 1], outline=_EDGE)
    paper.paste(panel, (place * (before.width + _GAP), 0))
  return np.asarray(paper)


def _panel(levels):
  image = _rgb(levels)
  scale = min(_WIDTH / image.width, _HEIGHT / image.height)
  size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
  return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _rgb(levels):
  return Image.fromarray((levels // 257).astype(np.uint8) if levels.dtype == np.uint16 else levels).convert('RGB')
