"""The list of verdicts of a page: what is in it, and, where there is a browser, what a person can do with it."""

import csv
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from defect_jax.report import page

ROWS = [page.Called('a "b", c.png', 'ng', 'strongest at the </script> top', 0.84, 'ab' * 32, 'dent',
                    page.thumbnail(np.full((200, 300, 3), 90, np.uint8)), True),
        page.Called('äöü/缺陷.png', 'ok', 'below', 0.2, 'cd' * 32, 'dent', '', False),
        page.Called('good.png', 'ok', 'below', 0.1, 'ef' * 32, right=None),
        page.Called('broken.png', 'error', 'is empty (0 bytes)')]


@pytest.fixture
def written(tmp_path):
  page.write(tmp_path / 'page.html', 'run', [page.Section('All photos', [page.Verdicts(ROWS)])])
  return tmp_path / 'page.html'


def test_the_rows_stand_in_the_page_whatever_their_names(written):
  text = written.read_text()
  assert text.count('</script>') == 2 and 'http' not in re.sub(r'data:image/[^"]*', '', text)
  rows = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])
  assert rows == [list(row) for row in ROWS]


def test_a_thumbnail_is_small_and_keeps_its_aspect():
  assert ROWS[0].picture.startswith('data:image/jpeg;base64,') and len(ROWS[0].picture) < 4000


def browsed(path, script):
  """The page's text after a script ran in it, by a browser without a window."""
  browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
  if browser is None:
    pytest.skip('no browser')
  path.write_text(path.read_text().replace('</body>', f'<script>{script}</script></body>'))
  return subprocess.run([
      browser, '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom', '--virtual-time-budget=3000',
      f'--user-data-dir={path.parent / "profile"}', f'file://{path}'],
      capture_output=True, text=True, timeout=60, check=True).stdout


# Catches the saved text, in place of a download.
CATCH = """
URL.createObjectURL = blob => { blob.text().then(text => {
  const saved = {id: 'saved', textContent: JSON.stringify(text)};
  document.body.appendChild(Object.assign(document.createElement('pre'), saved));
}); return '#'; };
"""


def saved(dom):
  text = json.loads(re.search(r'<pre id="saved">(.*?)</pre>', dom, re.DOTALL)[1])
  return list(csv.reader(text.splitlines()))


def test_what_is_marked_is_saved_as_csv(written):
  dom = browsed(written, CATCH + """
    document.querySelectorAll('tbody tr')[2].querySelectorAll('input')[1].click();  // good.png: wrong
    document.querySelector('.save').click();""")
  assert saved(dom) == [
      ['file', 'sha256', 'verdict', 'right'], ['a "b", c.png', 'ab' * 32, 'ng', '1'],
      ['äöü/缺陷.png', 'cd' * 32, 'ok', '0'], ['good.png', 'ef' * 32, 'ok', '0'], ['broken.png', '', 'error', '']]
  assert 'marked as wrong (2)' in dom


def test_the_list_is_filtered_and_the_rest_marked_at_once(written):
  dom = browsed(written, CATCH + """
    const select = document.querySelector('select');
    select.value = 'ok'; select.dispatchEvent(new Event('change'));
    document.querySelector('.rest').click();
    document.querySelector('.save').click();""")
  body = re.search(r'<tbody>(.*?)</tbody>', dom, re.DOTALL)[1]
  assert body.count('<tr>') == 2 and 'broken.png' not in body and 'good.png' in body
  assert [row[3] for row in saved(dom)[1:]] == ['1', '0', '1', '']  # what was marked as wrong stays so
