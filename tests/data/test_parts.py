import csv
import hashlib
import pathlib

import pytest

from defect_jax.data import parts
from defect_jax.data.sources import elpv, folder


def test_part_by_first_byte_of_sha256():
  # First bytes by `printf GROUP | sha256sum`: 'a' ca (202 % 4 = 2), 'b' 3e (62 % 4 = 2), 'd' 18 (24 % 4 = 0),
  # 'g' cd (205 % 4 = 1).
  assert [parts.part_of(group) for group in 'abdg'] == ['pool', 'pool', 'final', 'dev']
  assert parts.part_of('ü') == {0: 'final', 1: 'dev'}.get(hashlib.sha256('ü'.encode()).digest()[0] & 3, 'pool')


def records(**groups):
  """Records by {file: group}."""
  return [parts.Record(file, 'dent', group, pathlib.Path(file)) for file, group in groups.items()]


@pytest.mark.parametrize('groups', [200, 60, 7])
def test_few_depend_on_files_groups_and_seed_only(groups):
  names = [f'images/cell{i:04d}.png' for i in range(200)]
  listed = records(**{name: f'cell{i % groups}' for i, name in enumerate(names)})
  few = parts.choose_few(listed, 25, 3)
  assert few == parts.choose_few(listed[::-1], 25, 3)
  assert len(set(few)) == 25 and few == sorted(few) and set(few) <= set(names)
  assert set(few) < set(parts.choose_few(listed, 40, 3))
  assert few != parts.choose_few(listed, 25, 4)
  assert parts.choose_few(listed, 500, 3) == names


def test_few_are_the_same_for_ever():
  # Ranked by sha256('0/NAME') as sha256sum prints it: c 2881, b 7d9a, d 9d84, a d321
  assert parts.choose_few(records(a='a', b='b', c='c', d='d'), 2, 0) == ['b', 'c']


@pytest.mark.parametrize(('count', 'expected'), [(1, 'c'), (2, 'cd'), (3, 'bcd'), (4, 'abcd')])
def test_few_spread_over_the_groups(count, expected):
  # b and c, first and second of the ranking c b d a, are photos of one object: d comes before b.
  assert parts.choose_few(records(a='2', b='1', c='1', d='2'), count, 0) == list(expected)


def test_no_group_in_two_parts(photo_sets):
  for root in (photo_sets / 'magnetic_tile/magnetic_tile', photo_sets / 'bsdata/ball_screw'):
    records = folder.list(root)
    with open(root.parent / 'index.csv', newline='') as file:
      assert {f'{root.name}/{record.file}': record.group for record in records} == {
          row['path']: row['group'] for row in csv.DictReader(file)}
    groups = {part: {r.group for r in records if r.part == part} for part in parts.PARTS}
    assert all(groups.values())
    assert not groups['pool'] & groups['dev'] and not groups['pool'] & groups['final']
    assert not groups['dev'] & groups['final']


def test_every_elpv_photo_is_its_own_group():
  records = elpv.list(cell_type='all')
  assert len({record.group for record in records}) == len(records) == 2624
