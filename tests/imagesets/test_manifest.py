"""Lines keep what they were given; what no line may say is refused with the line's number."""

import json
import re

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.imagesets import manifest

INPAINTED = {
  'file': 'images/000003.png', 'class': 'crack', 'method': 'inpaint', 'index': np.int64(3), 'seed': 5,
  'source': 'good/a b.png', 'source_sha256': 'ab' * 32, 'source_part': 'pool', 'mask': 'masks/000003.png',
  'crop': np.array([4, 0, 512, 512]), 'target': (10, 20, 30, 40), 'crop_file': 'crops/000003.png',
  'difference_file': 'differences/000003.png', 'prompt': 'a "crack"\n', 'model': 'hub/name', 'sampler': 'ddim',
  'steps': 20, 'guidance': 7.5, 'strength': np.float64(0.6), 'changed_outside_mask': 0, 'filter': {'kept': True},
  'config_hash': 'c0ffee', 'other_source': 'good/c.png', 'bits': 12}
KEYS = list(INPAINTED)  # all, in the contract's order; the last two are additions


def sampled(index, **values):
  return {'file': f'images/{index:06d}.png', 'class': 'crack', 'method': 'vae', 'index': index, 'seed': 0,
          'config_hash': 'c0ffee', **values}


def write_set(root, rows):
  for row in rows:
    for key in ('file', 'mask', 'crop_file', 'difference_file'):
      if row.get(key):
        (root / row[key]).parent.mkdir(exist_ok=True)
        (root / row[key]).touch()
  (root / 'manifest.jsonl').write_text(''.join(manifest.Made.of(row).line() for row in rows))


def test_lines_hold_every_key_and_value():
  line = manifest.Made.of(INPAINTED).line()
  assert list(json.loads(line)) == KEYS
  assert json.loads(line) == INPAINTED | {'index': 3, 'crop': [4, 0, 512, 512], 'target': [10, 20, 30, 40]}
  assert line.count('\n') == 1
  made = manifest.Made.parse(line)
  assert (made.label, made.crop, made.strength) == ('crack', (4, 0, 512, 512), 0.6)
  assert made == manifest.Made.of(INPAINTED)
  few = json.loads(manifest.Made.of(sampled(0)).line())
  assert {key for key, value in few.items() if value is None} == set(KEYS) - {*sampled(0), 'bits'}


def test_a_line_of_an_older_set_lacks_what_was_added():
  values = json.loads(manifest.Made.of(sampled(0)).line())
  del values['other_source']
  assert manifest.Made.parse(json.dumps(values)) == manifest.Made.of(sampled(0))
  del values['sampler']
  with pytest.raises(ValueError, match='lacks sampler'):
    manifest.Made.parse(json.dumps(values))


def test_a_set_is_read_back_sorted(tmp_path):
  write_set(tmp_path, [INPAINTED, sampled(1), sampled(0, source_part='pool')])
  assert manifest.read_manifest(tmp_path) == [manifest.Made.of(row) for row in (
    sampled(0, source_part='pool'), sampled(1), INPAINTED)]


def test_keys_of_a_newer_version_are_passed_over(tmp_path):
  write_set(tmp_path, [sampled(0)])
  path = tmp_path / 'manifest.jsonl'
  path.write_text(json.dumps(json.loads(path.read_text()) | {'reviewed': True}) + '\n')
  assert manifest.read_manifest(tmp_path) == [manifest.Made.of(sampled(0))]


@pytest.mark.parametrize(('change', 'part'), [
  ({'file': '/etc/passwd'}, "file must be a relative path without .., not '/etc/passwd'"),
  ({'file': 'images/../../a.png'}, r'file must be a relative path without \.\.'),
  ({'mask': '..'}, 'mask must be a relative path'), ({'source': '/a.png'}, 'source must be'),
  ({'difference_file': ''}, 'difference_file must be'), ({'index': 0}, 'index 0 comes twice'),
  ({'index': 1.5}, 'index must be a whole number'), ({'index': True}, 'index must be'), ({'seed': -1}, 'seed must be'),
  ({'method': 'gan'}, "method must be one of vae, inpaint, cutpaste, not 'gan'"), ({'class': None}, 'class must be'),
  ({'crop': [1, 2, 3]}, 'crop must be 4 whole numbers'), ({'target': [1, 2, 3, 4.5]}, 'target must be 4 whole'),
  ({'config_hash': ''}, 'config_hash must be a text'), ({'source_sha256': {}}, 'source_sha256 must be a text or null'),
  ({'filter': 'none'}, "filter must be an object or null, not 'none'"), ({'filter': [1]}, 'filter must be an object'),
])
def test_what_a_line_may_not_say(tmp_path, change, part):
  write_set(tmp_path, [sampled(0), sampled(1)])
  path = tmp_path / 'manifest.jsonl'
  first, second = path.read_text().splitlines()
  path.write_text(f'{first}\n{json.dumps(json.loads(second) | change)}\n')
  with pytest.raises(UserError, match=rf'manifest\.jsonl:2: .*{part}') as error:
    manifest.read_manifest(tmp_path)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('line', 'part'), [
  ('', 'Expecting value'), ('{"file": "images/0', 'Unterminated'), ('[]', 'not an object'), ('\x00\x00', 'Expecting'),
  ('{"file": "images/000000.png"}', 'lacks class, method, index, '), ('\xff', 'decode|Expecting'),
])
def test_malformed_lines_are_named(tmp_path, line, part):
  write_set(tmp_path, [sampled(0)])
  with open(tmp_path / 'manifest.jsonl', 'ab') as file:
    file.write(line.encode('latin1') + b'\n')
  with pytest.raises(UserError, match=rf'manifest\.jsonl:2: not the line of a made image \(.*({part})') as error:
    manifest.read_manifest(tmp_path)
  assert '\n' not in str(error.value)


def test_missing_files_are_named(tmp_path):
  with pytest.raises(UserError, match=r'manifest\.jsonl: cannot be read'):
    manifest.read_manifest(tmp_path)
  write_set(tmp_path, [sampled(0), INPAINTED])
  manifest.read_manifest(tmp_path)
  (tmp_path / 'masks/000003.png').unlink()
  with pytest.raises(UserError, match=r'mask masks/000003\.png of image 3 is missing'):
    manifest.read_manifest(tmp_path)


@pytest.mark.parametrize('values', [{'method': 'vae'}, {'promt': 'a'}, {'label': 'crack'}])
def test_lineages_with_missing_or_unknown_keys(values):
  with pytest.raises(ValueError, match=r'index|promt|label'):
    manifest.Made.of({'class': 'crack', 'file': 'a.png', 'method': 'vae', 'seed': 0, 'config_hash': 'a', **values})


def test_the_digest_changes_with_a_line_or_an_image(tmp_path):
  write_set(tmp_path, [sampled(0), sampled(1)])
  digest = manifest.digest(tmp_path)
  assert manifest.digest(tmp_path) == digest and re.fullmatch('[0-9a-f]{64}', digest)
  image = tmp_path / sampled(1)['file']
  before = image.read_bytes()
  image.write_bytes(before + b'x')
  assert manifest.digest(tmp_path) != digest
  image.write_bytes(before)
  assert manifest.digest(tmp_path) == digest
  write_set(tmp_path, [sampled(0)])
  assert manifest.digest(tmp_path) != digest
