"""Which photos a classifier holds out, and how many made images it takes."""

import numpy as np
import pytest

from defect_jax.config import UserError
from defect_jax.tasks.classifier.learning import members_of
from defect_jax.tasks.classifier.lots import label_of
from defect_jax.tasks.classifier.made_images import made_counts
from defect_jax.tasks.classifier.material import hold_out


def test_whole_groups_of_every_class_are_held_out():
  labels = np.array([0] * 40 + [1] * 10)
  groups = [f'good {row // 4}' for row in range(40)] + [f'bad {row // 2}' for row in range(10)]
  for seed in range(5):
    held = hold_out(labels, groups, 0.2, seed)
    assert held[:40].sum() == 8 and held[40:].sum() == 2
    assert not {groups[row] for row in np.flatnonzero(held)} & {groups[row] for row in np.flatnonzero(~held)}
  assert not np.array_equal(hold_out(labels, groups, 0.2, 0), hold_out(labels, groups, 0.2, 1))


def test_photos_of_two_classes_in_one_group_stay_together():
  labels = np.array([0, 1] * 10)
  groups = [f'part {row // 2}' for row in range(20)]
  held = hold_out(labels, groups, 0.2, 0)
  assert held[::2].tolist() == held[1::2].tolist() and held.sum() == 4


def test_no_class_is_held_out_as_a_whole():
  # Each of ten groups has a good photo and a scratch, two of them a dent too: to hold both out would leave none.
  labels = np.array([0] * 10 + [1] * 10 + [2] * 2)
  groups = [f'g{number}' for number in (*range(10), *range(10), 0, 1)]
  for seed in range(40):
    held = hold_out(labels, groups, 0.2, seed)
    assert [(held[labels == label].any(), held[labels == label].all()) for label in range(3)] == [(True, False)] * 3


def test_nothing_is_held_out_where_that_is_asked():
  assert not hold_out(np.array([0, 1]), ['a', 'b'], 0, 0).any()


def test_a_class_of_one_group_cannot_be_on_both_sides():
  with pytest.raises(UserError, match=r'validation.share = 0.2: a class has 3 photos of 1 groups'):
    hold_out(np.array([0] * 10 + [1] * 3), [*map(str, range(10)), 'x', 'x', 'x'], 0.2, 0)


def test_the_ratio_is_of_made_to_real_photos_of_the_class():
  assert made_counts(0.5, {0: 300, 1: 20}, {1: {'a': 100}}) == {1: {'a': 10}}
  assert made_counts(1, {0: 300, 1: 20, 2: 4}, {1: {'a': 100}, 2: {'a': 9}}) == {1: {'a': 20}, 2: {'a': 4}}


def test_sets_give_as_many_each_as_far_as_they_have_them():
  assert made_counts(1, {1: 21}, {1: {'a': 100, 'b': 100}}) == {1: {'a': 10, 'b': 11}}
  assert made_counts(1, {1: 21}, {1: {'a': 100, 'b': 3}}) == {1: {'a': 18, 'b': 3}}


def test_more_images_than_there_are_is_refused():
  reason = 'made.ratio = 5: asks for 100 made images beside 20 real photos, and a, b has 70'
  with pytest.raises(UserError, match=reason):
    made_counts(5, {1: 20}, {1: {'a': 40, 'b': 30}})


def test_classes_are_numbered_and_defects_merged():
  assert [label_of(name, ['good', 'crack', 'hole']) for name in ('good', 'crack', 'hole')] == [0, 1, 2]
  assert [label_of(name, ['good', 'defect']) for name in ('good', 'crack', 'hole')] == [0, 1, 1]


def test_members_are_listed_by_class():
  members, counts = members_of(np.array([1, 0, 1, 1]))
  assert counts.tolist() == [1, 3] and members[1].tolist() == [0, 2, 3] and members[0, 0] == 1
