"""Rules of configs: each by values on both sides of its border."""

import math

import pytest

from defect_jax.rules import Boolean, Choice, Integer, Names, Number, Optional, Text, Tuple


@pytest.mark.parametrize(('rule', 'good', 'bad'), [
  (Number(0, 1), [0, 1, 0.5], [-0.1, 1.1, math.nan, math.inf, True, '1', None]),
  (Number(above=0, below=1), [1e-9, 0.99], [0, 1, -1]),
  (Integer(1, 3), [1, 3], [0, 4, 2.0, True]),
  (Boolean(), [True, False], [0, 1, 'true', None]),
  (Text(), ['a'], ['', ' ', 3, None]),
  (Choice('a', 2), ['a', 2], ['b', 2.0, None]),
  (Tuple(Integer(1), least=2), [(1, 2), (3, 3, 3)], [(1,), (1, 0), [1, 2], 'ab', None]),
  (Names(), [('a',), ('a', 'b')], [(), ('a', 'a'), ('',), 'a', (1,)]),
  (Optional(Number(0)), [None, 0], [-1, 'none']),
])
def test_rules(rule, good, bad):
  assert [value for value in good if not rule.allows(value)] == []
  assert [value for value in bad if rule.allows(value)] == []
