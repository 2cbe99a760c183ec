"""Which pictures are in a page, and where the others are."""

import numpy as np
from PIL import Image

from defect_jax.report import album

LEVELS = np.full((200, 100, 3), 90, np.uint8)


def test_what_tells_most():
  # The highest scores come first, here all but one; then what is called wrongly, the surest first.
  scores = np.array([5.0, 1.0, 2.0, 3.0, 4.0])
  assert album.telling(scores, 2.9, most=3) == [0, 4, 3]
  many = np.concatenate([np.linspace(10, 20, 20), [1.0, 2.0, 3.0, 3.5]])
  right = [True] * 20 + [False, True, False, True]
  assert album.telling(many, 4.0, right, most=23)[20:] == [20, 22, 23]  # away by 3 and 1, then 0.5


def test_the_others_lie_beside_the_page(tmp_path):
  pictures = album.Album(tmp_path / 'report.html', [1])
  assert pictures.source(1, LEVELS).startswith('data:image/jpeg;base64,')
  assert pictures.source(2, LEVELS) == 'pictures/000002.jpg'
  assert Image.open(tmp_path / 'pictures' / '000002.jpg').size == (48, 96)
  assert [path.name for path in (tmp_path / 'pictures').iterdir()] == ['000002.jpg']
