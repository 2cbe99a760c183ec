"""Photos are compared with those that a run was trained on: by light, depth, pixels and shape."""

import json

import numpy as np
import pytest
from PIL import Image

from defect_jax.data import parts, seen
from defect_jax.data.samples import Traits
from defect_jax.runs.folder import Workdir

KNOWN = seen.Seen(frozenset(), 16, [Traits((100, 200), 8, level) for level in (0.4, 0.45, 0.5)])


def test_traits_of_a_photo_by_hand():
  photo = np.zeros((300, 20, 3), np.uint16)
  photo[:, :12] = 13107  # a fifth of the range, on more than half of it
  assert Traits.of(photo) == Traits((300, 20), 16, pytest.approx(0.2, abs=1e-6))


@pytest.mark.parametrize(('size', 'depth', 'level', 'note'), [
    ((100, 200), 8, 0.5, ''), ((110, 200), 8, 0.37, ''),  # near enough
    ((100, 200), 8, 0.025, '16 times darker than any trained on'), ((100, 200), 8, 0.0, 'black'),
    ((100, 200), 8, 1.0, '2 times brighter than any trained on'),
    ((100, 200), 16, 0.45, 'of 16 bits, those trained on of 8'),
    ((1000, 2000), 8, 0.45, '100 times the pixels of any trained on'),
    ((10, 20), 8, 0.45, '100 times fewer pixels than any trained on'),
    ((100, 100), 8, 0.45, 'of 100 x 100 px, so another shape than those trained on, whose width is 2 of the height'),
    ((150, 150), 16, 0.2, '2 times darker than any trained on; of 16 bits, those trained on of 8; of 150 x 150 px, so '
                          'another shape than those trained on, whose width is 2 of the height')])
def test_what_differs_is_named(size, depth, level, note):
  assert KNOWN.note(Traits(size, depth, level)) == note


def test_little_light_more_or_less_is_no_difference():
  dark = seen.Seen(frozenset(), 16, [Traits((9, 9), 8, level) for level in (0.04, 0.05)])
  assert dark.note(Traits((9, 9), 8, 0.02)) == dark.note(Traits((9, 9), 8, 0.075)) == ''
  assert dark.note(Traits((9, 9), 8, 0.1)) == '2 times brighter than any trained on'


def test_what_is_kept_is_read_again(tmp_path):
  sides = [(60, 80)] * 5 + [(60, 200)] * 4
  for number, size in enumerate(sides):
    Image.fromarray(np.full(size, 51, np.uint8)).save(tmp_path / f'{number}.png')
  records = [parts.Record(f'{number}.png', 'ng', 'g', tmp_path / f'{number}.png', bits=12) for number in range(9)]
  assert seen.Seen.read(Workdir(tmp_path)) is None and seen.Seen.read(None) is None
  (line,) = seen.keep(Workdir(tmp_path), records)
  assert line == '4 of 9 photos of ng are 200 x 60 px, the others 80 x 60 px; they are trained on as one'
  found = seen.Seen.read(Workdir(tmp_path))
  assert found.bits == 12 and found.traits == [Traits(size, 8, pytest.approx(0.2)) for size in sides]
  assert len(found.sha256) == 2  # of the two contents
  assert json.loads((tmp_path / 'photos.json').read_text())['photos'][8]['size'] == [60, 200]
  assert seen.keep(Workdir(tmp_path), records[:5], ['a', 'a', '']) == []
  assert seen.Seen.read(Workdir(tmp_path)).sha256 == {'a'}
