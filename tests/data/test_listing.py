"""What is held out by each way to split photos, and what a listing says of its photos comes with those that are loaded.
"""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from defect_jax.data import dataset, listing, parts
from defect_jax.errors import UserError


@pytest.mark.parametrize(('split', 'fold', 'part', 'names'), [
    ('hash', None, 'final', ('final',)), ('folders', None, 'final', ('dev', 'test')), ('none', None, 'dev', ()),
    ('kfold', None, 'dev', ()), ('kfold', 2, 'dev', ('dev',))])
def test_what_is_held_out(split, fold, part, names):
  assert tuple(listing.held_out(split, fold, part)) == names


def test_the_first_part_that_has_photos_is_taken_else_the_first_reason_is_told():
  def load(part):
    if part != 'test':
      raise UserError(f'none in {part}')
    return [part]

  assert listing.first_of(('dev', 'test'), load) == (['test'], '')
  assert listing.first_of(('dev', 'final'), load) == (None, 'none in dev')
  assert listing.first_of((), load) == (None, '')


def test_notes_of_a_listing_come_with_its_photos(tmp_path):
  (tmp_path / 'ok').mkdir()
  for number in range(3):
    Image.fromarray(np.full((16, 16), 80 * number, np.uint8)).save(tmp_path / f'ok/{number}.png')
  listed = dataclasses.replace(listing.list_photos('classes', tmp_path, 'none'), notes=('two show one part',))
  assert isinstance(listed, parts.Listing)
  loaded = dataset.load(source='classes', part='pool', records=listed, size=8, channels=1)
  assert loaded.notes == ('two show one part',) and len(loaded) == 3
