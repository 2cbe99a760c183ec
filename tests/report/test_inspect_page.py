"""The page of inspected photos: pictures with their masks drawn in, what is wrong, commands to copy."""

import base64
import html
import io
import re

import numpy as np
import pytest
from made_photos import bumps, write
from PIL import Image

from defect_jax.data import inspection, listing
from defect_jax.report import inspect as report


@pytest.fixture
def written(tmp_path):
  """The text of the page of a folder."""
  def write_page(root, commands=(), shown=4):
    listed = listing.list_photos('classes', root)
    seen = [*inspection.look_at_all(listed)]
    found = inspection.conclude('classes', 'class folders', listed, [look for look, _ in seen if look],
                                [problem for _, wrong in seen for problem in wrong])
    report.write(tmp_path / 'page.html', 'run', '{}', found, commands, shown)
    return (tmp_path / 'page.html').read_text()
  return write_page


def pictures(page, section):
  """The pictures of a section, uint8 [h, w, 3]."""
  text = page.partition(f'<section id="{section}">')[2].partition('</section>')[0]
  return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
          for data in re.findall('src="data:image/jpeg;base64,([^"]+)"', text)]


def test_masks_are_drawn_around_what_they_mark(written, tmp_path):
  photo, mask = np.full((400, 600), 90, np.uint8), np.zeros((400, 600), np.uint8)
  mask[200:202, 300:450] = 255  # a scratch, thinner than a pixel of the picture
  for file, array in {'ok/0.png': photo, 'ng/0.png': photo + np.uint8(1), 'ground_truth/ng/0_mask.png': mask}.items():
    write(tmp_path / 'photos' / file, array)
  page = written(tmp_path / 'photos')
  (plain,), (drawn,) = (pictures(page, f'class_{label}') for label in ('good', 'ng'))
  green = (drawn[..., 1].astype(int) - drawn[..., 0] > 60)
  assert drawn.shape == plain.shape == (200, 300, 3)
  rows, columns = np.nonzero(green)
  assert 96 <= rows.min() < 100 and 100 < rows.max() <= 104
  assert 146 <= columns.min() < 150 and 224 < columns.max() <= 228
  assert not (plain[..., 1].astype(int) - plain[..., 0] > 20).any()


def test_no_more_photos_than_asked_for_evenly_chosen(written, tmp_path):
  for number in range(10):
    write(tmp_path / f'photos/ok/{number}.png', bumps(number))
  page = written(tmp_path / 'photos', shown=4)
  assert re.findall(r'<figcaption>(.*?)</figcaption>', page) == ['ok/0.png', 'ok/3.png', 'ok/6.png', 'ok/9.png']
  assert 'good: 4 of 10 photos' in page


def test_problems_are_summed_up_and_listed(written, tmp_path):
  for number in range(3):
    write(tmp_path / f'photos/ok/{number}.png', np.zeros((20, 20), np.uint8))
  write(tmp_path / 'photos/ok/fine.png', bumps(0))
  page = written(tmp_path / 'photos')
  assert 'Black photos (3): ok/0.png: is black all over. Remove them' in page
  assert '<section id="black">' in page and 'class="verdict good"' not in page
  assert page.count('is black all over') == 4  # in short, and each


def test_of_many_sizes_the_most_frequent_are_named_and_the_others_counted(written, tmp_path):
  for number in range(15):
    write(tmp_path / f'photos/ok/{number:02d}.png', bumps(number, 20 + max(0, number - 1)))
  page = written(tmp_path / 'photos')
  assert '<tr><td>Size</td><td>20 x 20</td><td>2</td></tr>' in page
  assert '<tr><td>Size</td><td>4 others</td><td>4</td></tr>' in page


def test_two_kinds_of_photos_are_shown_side_by_side(written, tmp_path):
  for number in range(12):
    write(tmp_path / f'photos/ok/{number:02d}.png', bumps(number, 32 if number < 10 else 48))
  page = written(tmp_path / 'photos')
  assert 'Two kinds of photos in good' in page and '32 x 32 px: 10' in page and '48 x 48 px: 2' in page
  assert len(pictures(page, 'kinds_good')) == 6 + 2


def test_commands_are_to_be_copied_as_they_are(written, tmp_path):
  write(tmp_path / 'photos/ok/0.png', bumps(0))
  command = "python -m defect_jax.main --config.photos='my <photos>'"
  page = written(tmp_path / 'photos', [('Find', 'Because.', command)])
  shown = re.search(r'<pre>(.*?)</pre>', page)[1]
  assert html.unescape(re.sub('</?span>', '', shown)) == command
  assert "document.execCommand('copy')" in page and not re.search(r'(?:src|href)="(?:https?:)?//', page)
