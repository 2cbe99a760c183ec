"""The page of an inpainting training: what it says by hand, that it is whole and needs no network."""

import types

import numpy as np
import pytest

from defect_jax.report import inpaint_train as report

SUMMARY = {'loss': 0.1, 'dev_loss': 0.2, 'dev_loss_before': 1.1, 'kid_before': 3.0, 'kid_after': 0.25,
           'kid_cutpaste': 0.5, 'kid_of_training': 0.05, 'novelty': 0.9, 'memorised_fraction': 0.02, 'steps': 4,
           'seconds': 9., 'images_per_second': 30., 'compile_seconds': 1.,
           'measured_against': '120 areas of 110 photos of defects, part dev'}
UNMEASURED = SUMMARY | dict.fromkeys(('dev_loss', 'dev_loss_before', 'kid_before', 'kid_after', 'kid_cutpaste',
                                      'kid_of_training', 'novelty', 'memorised_fraction'))


def places(count=14, size=32):
  masks = np.zeros((count, size, size), bool)
  masks[:, 8:16, 8:16] = True
  images, donors = np.full((count, size, size, 3), 0.2, np.float32), np.full((count, size, size, 3), 0.8, np.float32)
  return types.SimpleNamespace(images=images, masks=masks, donors=donors)


def test_what_it_says():
  words = ' '.join(report.verdict(SUMMARY))
  assert 'went from 1.1 to 0.2' in words and 'KID of the made defects 0.25 against 120 areas' in words
  assert '3.00 before training, 0.50 by cut and paste, 0.05 of the real defects' in words
  assert '2 % of the images are copies of a real defect' in words
  assert list(report.verdict(UNMEASURED)) == ['Realism was not measured: it takes 100 held-out real defects.']


def test_a_sheet_shows_the_place_what_was_made_and_the_real_defect():
  made = np.full((14, 32, 32, 3), 0.4, np.float32)
  picture = report.sheet(places(), made, 12)  # 2 places; a tile is 96 px, 3 px an image's
  assert picture.shape == (3 * 98 - 2, 2 * 98 - 2, 3)
  assert [int(picture[row, 4, 0]) for row in (4, 98 + 4, 2 * 98 + 4)] == [51, 102, 204]
  assert int(picture[30, 30, 0]) == 128  # what is to be made anew is grey


@pytest.mark.parametrize('summary', [SUMMARY, UNMEASURED])
def test_the_page_is_whole(tmp_path, summary):
  rows = [{'step': 2, 'train/loss': 0.5, 'train/loss_t0': 0.4, 'eval/loss': 0.6},
          {'step': 4, 'train/loss': 0.2, 'train/loss_t0': 0.1}]
  made = np.full((14, 32, 32, 3), 0.4, np.float32)
  report.write(tmp_path / 'report.html', 'run: inpainting', '{"seed": 7}', summary, rows,
               {'train/loss': np.float32([0.6, 0.5, 0.3, 0.2])}, places(), made)
  page = (tmp_path / 'report.html').read_text()
  assert page.count('alt="contact sheet') == 2 and 'By timestep' in page and '&#34;seed&#34;: 7' in page
  assert 'http' not in page.replace('http://www.w3.org', '').replace('https://www.w3.org', '')
