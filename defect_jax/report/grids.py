"""Images side by side as one picture, for PNG files and pages."""

import io
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from defect_jax.runs.atomic import write_atomic

Images = Float[np.ndarray, 'n s s c']  # or JAX's
Picture = UInt8[np.ndarray, 'h w'] | UInt8[np.ndarray, 'h w 3']  # grey, or RGB
COLUMNS = 9
MOST = 25  # pairs in a grid of reconstructions
_TILE = 96  # pixels: smaller images are enlarged to at least this side
_GAP = 2
_LETTERS = 16  # px
_PAPER = 255


def grid(rows: Iterable[Images | Sequence[Float[np.ndarray, 's s c']]]) -> Picture:
  """Lays out images of one size, clipped to [0, 1], in rows of any length, white lines between them, small images
  enlarged by whole pixels. ValueError without an image, or where there are not 1 or 3 channels."""
  tiles = [[_tile(image) for image in row] for row in rows]
  shapes = {tile.shape for row in tiles for tile in row}
  if len(shapes) != 1:
    raise ValueError(f'a grid needs images of one size, got {sorted(shapes) or "none"}')
  (side, _, channels), = shapes
  columns, pitch = max(map(len, tiles)), side + _GAP
  paper = np.full((len(tiles) * pitch - _GAP, columns * pitch - _GAP, channels), _PAPER, np.uint8)
  for top, row in enumerate(tiles):
    for left, tile in enumerate(row):
      paper[top * pitch:top * pitch + side, left * pitch:left * pitch + side] = tile
  return paper[..., 0] if channels == 1 else paper


def with_names(picture: UInt8[np.ndarray, 'h w 3'], names: Sequence[str]) -> UInt8[np.ndarray, 'h w 3']:
  """A `grid` with the name of each of its rows on the left."""
  font = ImageFont.load_default(_LETTERS)
  margin = round(max(map(font.getlength, names))) + 2 * _LETTERS
  paper = Image.new('RGB', (margin + picture.shape[1], picture.shape[0]), (_PAPER,) * 3)
  paper.paste(Image.fromarray(picture), (margin, 0))
  drawing, pitch = ImageDraw.Draw(paper), (picture.shape[0] + _GAP) / len(names)
  for row, name in enumerate(names):
    drawing.text((_LETTERS, (row + 0.5) * pitch), name, (0, 0, 0), font, 'lm')
  return np.asarray(paper)


def image_grid(images: Images) -> Picture:
  """`grid` of images, wrapped."""
  return grid(_wrapped(images))


def recon_grid(images: Images, recon: Images) -> Picture:
  """`grid` of the first 25 images, each above its reconstruction above its residual, wrapped."""
  images, recon = np.asarray(images)[:MOST], np.asarray(recon)[:MOST]
  if images.shape != recon.shape:
    raise ValueError(f'photos {images.shape} and reconstructions {recon.shape} differ in shape')
  by_kind = map(_wrapped, (images, recon, residual(images, recon)))
  return grid(itertools.chain.from_iterable(zip(*by_kind, strict=True)))


def residual(images: Float[np.ndarray, '*n s s c'],
             recon: Float[np.ndarray, '*n s s c']) -> Float[np.ndarray, '*n s s c']:
  """What a reconstruction adds (brighter) or lacks (darker); grey 0.5 where it equals the photo."""
  return 0.5 + np.asarray(recon, np.float32) - np.asarray(images, np.float32)


def encode_png(array: Picture, small: bool = True) -> bytes:
  """Bytes of a PNG; small: as few as can be, which takes three times as long."""
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'png', optimize=small)
  return buffer.getvalue()


def write_png(path: Path, array: Picture) -> None:
  write_atomic(path, encode_png(array))


def _wrapped(images):
  return [images[first:first + COLUMNS] for first in range(0, len(images), COLUMNS)]


def _tile(image):
  """uint8 `[F S, F S, C]`; the factor F is the least that reaches the size of a tile."""
  image = np.asarray(image, np.float32)
  if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] not in (1, 3):
    raise ValueError(f'an image of a grid is [S, S, 1] or [S, S, 3], got {list(image.shape)}')
  factor = -(-_TILE // image.shape[0])
  levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
  return levels.repeat(factor, 0).repeat(factor, 1)
