"""Which made sets show what a classifier's photos show."""

import numpy as np
import pytest
from classifier_photos import config_of, open_photos
from made_photos import make_set, write

from defect_jax.errors import UserError
from defect_jax.imagesets import manifest, writer

OF_VAE = {'size': 32, 'channels': 1, 'region': 'full', 'box': None, 'fit': 'crop'}


@pytest.fixture(scope='module')
def wide(tmp_path_factory):
  """Colour photos of 48 x 32 px, good and dents."""
  root, rng = tmp_path_factory.mktemp('wide') / 'photos', np.random.default_rng(0)
  for number in range(24):
    write(root / f'ok/{number:03d}.png', rng.integers(0, 255, (32, 48, 3), np.uint8))
    write(root / f'ng/dent/{number:03d}.png', rng.integers(0, 255, (32, 48, 3), np.uint8))
  return root


def opened(photos, root, **data):
  config = config_of(photos)
  config.data.update(data)
  config.made.update(sets=(str(root),), ratio=0.5)
  return open_photos(config)


def of_vae(root, **changes):
  make_set(root)
  geometry = OF_VAE | changes
  manifest.write_known(root, [], geometry['region'], geometry)
  return root


def test_a_set_of_the_same_view_is_taken(dents, wide, tmp_path):
  assert len(opened(dents, of_vae(tmp_path / 'same')).made) == 10
  # Of square photos both fits show the same, and box is asked of region=box alone.
  assert len(opened(dents, of_vae(tmp_path / 'pad', fit='pad', box=[0, 0, 9, 9])).made) == 10
  box = {'region': 'box', 'box': (0, 0, 32, 32)}
  assert len(opened(dents, of_vae(tmp_path / 'box', region='box', box=[0, 0, 32, 32], fit='pad'), **box).made) == 10


def test_a_set_without_its_geometry_is_taken_as_before(dents, tmp_path):
  root = make_set(tmp_path / 'set')
  (root / manifest.PHOTOS).write_text('{"sha256": [], "region": "full"}')
  assert manifest.read_known(root).geometry == {} and len(opened(dents, root).made) == 10


@pytest.mark.parametrize(('of_set', 'of_classifier', 'reason'), [
    ({'region': 'mask'}, {}, r'squares around defects .*--config\.data\.region=full$'),
    ({'fit': 'pad'}, {}, r'data\.fit=pad of its VAE.* \(data\.fit=crop\); set --config\.data\.fit=pad, or train the '
                         r'VAE with --config\.data\.fit=crop$'),
    ({'region': 'box', 'box': [4, 4, 16, 16]}, {}, r'set --config\.data\.region=box --config\.data\.box=4,4,16,16, or'),
    ({}, {'region': 'box', 'box': (0, 0, 32, 32)}, r'set --config\.data\.region=full'),
    ({'region': 'box', 'box': [0, 0, 32, 32]}, {'region': 'box', 'box': (8, 0, 32, 32)},
     r'\(data\.box=8,0,32,32\); set --config\.data\.box=0,0,32,32, or train'),
    ({}, {'size': 64}, r'has images of 32 px, .* 64 px \(data\.size\); set --config\.data\.size=32, or train'),
    ({}, {'channels': 3}, r'grey images, and the photos are in colour .* set --config\.data\.channels=1')])
def test_a_set_of_another_view_is_refused_with_the_setting_that_fits(wide, tmp_path, of_set, of_classifier, reason):
  with pytest.raises(UserError, match=reason) as refused:
    opened(wide, of_vae(tmp_path / 'set', **of_set), **of_classifier)
  assert '\n' not in str(refused.value) and str(refused.value).startswith('made.sets: ')


def test_the_setting_that_fits_fits(wide, tmp_path):
  assert len(opened(wide, of_vae(tmp_path / 'set', fit='pad'), fit='pad').made) == 6


def test_grey_images_are_taken_beside_grey_photos_of_three_channels(dents, tmp_path):
  assert opened(dents, of_vae(tmp_path / 'set'), channels=3).made.shape == (10, 32, 32, 3)


def test_inpainted_photos_are_of_the_size_of_the_photos(wide, tmp_path):
  for name, shape in (('whole', (32, 48)), ('close_up', (32, 32))):
    root = make_set(tmp_path / name, method='inpaint')
    for image in manifest.read(root):
      writer.write_image(root, image.index, np.zeros(shape, np.uint8))
  assert len(opened(wide, tmp_path / 'whole').made) == 6
  with pytest.raises(UserError, match=r'images of 32 x 32 px, .* such as of 48 x 32 px: close-ups or another scale'):
    opened(wide, tmp_path / 'close_up')
