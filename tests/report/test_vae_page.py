import base64
import errno
import io
import json
import math
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from defect_jax.report import grids, vae
from defect_jax.report.latent import Latent
from defect_jax.runs import atomic

pytestmark = pytest.mark.filterwarnings('error::UserWarning')  # matplotlib's, of a figure that does not fit

STEPS = 120
SUMMARY = {'steps': STEPS, 'seconds': 12.5, 'kld': 16.0, 'mse': 0.0004, 'kld_target': 16.0, 'mse_target': 0.0004,
           'kld_ripple': 0.01, 'mse_ripple': None, 'steps_to_targets': 90, 'active_units': 16, 'latent_dim': 16,
           'collapsed': False, 'dev_mse': None, 'detail_kept': 0.9, 'log_n': math.log(4)}


def _arguments(**changes):
  random = np.random.default_rng(0)
  photos = random.random((4, 16, 16, 1), np.float32)
  metrics = [{'step': step, 'seconds': step / 10, 'gain/E1': 0.5, 'gain/D': 1.0, 'weight/kld': 0.1, 'norm/E1': 2.0,
           'update/E1': 0.01, 'cosine/E1_E2': -0.3, 'target/kld': 16.0} for step in range(10, STEPS + 1, 10)]
  metrics += [{'step': step, 'latent/active_units': 2, 'latent/mutual_information': 1.3, 'latent/marginal_kl': 14.7,
            'latent_kld/0': 12.0, 'latent_kld/1': 4.0, 'latent_kld/2': 0.0} for step in (60, STEPS)]
  metrics += [{'step': STEPS, 'request': {'id': 1, 'pause': False, 'stop': False, 'targets': {'kld': 11.0}}}]
  return {'title': 'vae_split', 'verdict': ['Both losses are at their targets.', 'Next: nothing.'],
          'summary': SUMMARY, 'config': json.dumps({'task': 'vae', 'targets': {'kld': 16.0}}), 'metrics': metrics,
          'history': {'train/kld': random.random(STEPS), 'train/mse': random.random(STEPS)},
          'targets': {'kld': 16.0, 'mse': 0.0004}, 'photos': photos, 'recon': 1 - photos,
          'prior': photos[:2], 'nearest': photos[2:], 'log_n': math.log(4), 'forecast': ['a KLD of 16 can carry it'],
          'latents': Latent(random.normal(size=(4, 3)), None, np.array([12., 4., 0.]), np.array([0, 1]),
                           np.array([-1., 1.]), random.random((2, 2, 16, 16, 1)))} | changes


def _page(folder, **changes):
  path = folder / 'report.html'
  vae.write(path, **_arguments(**changes))
  return path.read_text()


class _Reader(HTMLParser):
  """Collects tags, their attributes and the text outside of style."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.text = [], []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text.append(data)

  def sources(self, within=''):
    return [attrs['src'] for tag, attrs in self.tags if tag == 'img' and within in attrs['alt']]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  return _page(tmp_path_factory.mktemp('page'))


def test_contains_every_section(page):
  reader = _Reader(page)
  ids = [attrs['id'] for _, attrs in reader.tags if 'id' in attrs]
  assert ids == ['verdict', 'figures', 'forecast', 'losses', 'reconstructions', 'prior', 'latent', 'control',
                 'gradients', 'config']
  figures = [attrs['alt'] for tag, attrs in reader.tags if tag == 'img' and 'svg' in attrs['src'][:20]]
  assert figures == [
    'KLD', 'MSE', 'How well the targets are held', 'KLD of each dimension', 'What the KLD is made of',
    'KLD of each dimension over time', 'Active units', 'Where the photos lie', 'Gains', 'Loss weights',
    'Do KLD and MSE pull the same way?', 'Gradient norms', 'Update norms']
  assert json.loads(re.search(r'<pre>(.*)</pre>', page, re.S)[1].replace('&#34;', '"')) == {
    'task': 'vae', 'targets': {'kld': 16.0}}


def test_needs_no_network(page):
  reader = _Reader(page)
  assert not re.search(r'https?:|url\(|@import|<script|<link', page)
  assert all(source.startswith('data:image/') for source in reader.sources())
  figures = [base64.b64decode(source.partition(',')[2]).decode() for source in reader.sources('over the steps')]
  assert not any(re.search(r'(?:href|src)="(?!#|data:)', figure) for figure in figures)


def test_images_are_the_photos_and_their_residuals(page):
  source = _Reader(page).sources('photo 2,')[0]
  shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(',')[2]))))
  photos = _arguments()['photos']
  np.testing.assert_array_equal(shown, grids.grid([[photos[1]], [1 - photos[1]], [1.5 - 2 * photos[1]]]))


def test_text_is_escaped(tmp_path):
  page = _page(tmp_path, title='<script>alert(1)</script>', verdict=['a < b & "c"'], config='{"key": "</pre><script>"}')
  assert '<script' not in page and '&lt;script&gt;alert(1)' in page and 'a &lt; b &amp; &#34;c&#34;' in page


def test_unknown_figures_are_dashes(tmp_path):
  empty = dict.fromkeys(SUMMARY) | {'collapsed': False}
  text = ' '.join(_Reader(_page(tmp_path, summary=empty, targets={'kld': None, 'mse': None}, metrics=[])).text)
  assert '–' in text and not re.search(r'\b(None|nan)\b', text)


def test_what_a_run_does_not_have_is_left_out(tmp_path):
  metrics = [{'step': 10, 'gain/all': 1.0, 'norm/all': None}]
  reader = _Reader(_page(tmp_path, metrics=metrics))
  ids = [attrs['id'] for _, attrs in reader.tags if 'id' in attrs]
  assert 'control' in ids and 'gradients' not in ids
  figures = [attrs['alt'] for tag, attrs in reader.tags if tag == 'img' and 'svg' in attrs['src'][:20]]
  assert figures == ['KLD', 'MSE', 'How well the targets are held', 'KLD of each dimension', 'Gains']


def test_one_step_and_a_loss_of_zero(tmp_path):
  history = {'train/kld': np.zeros(1), 'train/mse': np.zeros(1)}
  assert _page(tmp_path, history=history, metrics=[]).endswith('</html>')


def test_large_colour_photos_and_many_steps_stay_below_two_megabytes(tmp_path):
  random = np.random.default_rng(0)
  photos = random.normal(0.5, 0.012, (25, 256, 256, 3))  # the noise of a camera, three levels
  history = {name: random.random(50_000) + 1 for name in ('train/kld', 'train/mse')}
  metrics = [{'step': step} | {f'gain/{name}': random.random() for name in ('E1', 'E2', 'D')}
          for step in range(10, 50_001, 10)]
  latent = Latent(random.normal(size=(25, 16)), None, np.ones(16), np.arange(6), np.linspace(-2, 2, 7),
                  np.broadcast_to(photos[0], (6, 7, 256, 256, 3)))
  page = _page(tmp_path, photos=photos, recon=photos, prior=photos, nearest=photos, latents=latent, history=history,
               metrics=metrics)
  assert len(page) < 2_000_000 and f'of {len(photos)} photos.' in page


def test_is_whole_or_as_before(tmp_path, monkeypatch):
  path = tmp_path / 'report.html'
  path.write_text('before')

  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patch:
    patch.setattr(atomic.os, 'replace', full)
    with pytest.raises(atomic.DiskFull, match=r'report\.html'):
      vae.write(path, **_arguments())
  assert path.read_text() == 'before' and [file.name for file in tmp_path.iterdir()] == ['report.html']


def test_an_alarm_is_a_stretch_with_its_words(tmp_path):
  metrics = [{'step': step, 'latent/active_units': 0, 'latent/mutual_information': 0., 'latent/marginal_kl': 0.,
           'latent_kld/0': 0.} | ({'alarm': words} if words else {})
          for step, words in ((10, ''), (20, 'no unit'), (30, 'no unit'), (40, ''), (50, 'no unit'))]
  page = _page(tmp_path, metrics=metrics)
  assert re.findall(r'Steps (\d+) to (\d+): posterior collapse: no unit', page) == [('20', '30'), ('50', '50')]
  assert 'id="alarms"' not in _page(tmp_path)
