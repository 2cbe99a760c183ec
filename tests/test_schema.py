"""Keys of configs: defaults, help, checks, and configs of earlier versions."""

import math

import pytest
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from defect_jax.config import UserError
from defect_jax.rules import Choice, Integer, Names, Number, Optional, Text
from defect_jax.schema import Key, Named, check, complete, defaults, describe, flat_keys, flatten, with_defaults

TABLE = {
  'seed': Key(0, Integer(0), text='Whatever is drawn.'),
  'data': {'defects': Key(('good',), Names('good', 'defective')), 'path': Key(None, Optional(Text()), path=True)},
  'streams': Named({'loss': Key('mse', Choice('kld', 'mse')), 'lr': Key(0.01, Number(above=0), 'per step')}),
}


def config(**values):
  made = ConfigDict({'seed': 0, 'data': {'defects': ('good',), 'path': placeholder(str)},
                     'streams': {'E1': {'loss': 'kld', 'lr': 1e-3}, 'D': {'loss': 'mse', 'lr': 1}}})
  made.update_from_flattened_dict(values)
  return made


def test_a_config_that_holds_passes():
  check(config(), TABLE)
  check(config(**{'data.path': 'photos'}), TABLE)


@pytest.mark.parametrize(('values', 'parts'), [
  ({'seed': -1}, ['seed = -1', 'a whole number at least 0']),
  ({'streams.E1.lr': math.nan}, ['streams.E1.lr = nan', 'a finite number above 0']),
  ({'streams.E1.lr': 0}, ['streams.E1.lr = 0']),
  ({'streams.D.loss': 'msee'}, ["streams.D.loss = 'msee'", 'one of kld, mse', 'did you mean mse?']),
  ({'data.defects': ('good', 'cracked')}, ["('good', 'cracked')", 'good, defective']),
])
def test_faults_name_the_key_the_value_and_what_is_allowed(values, parts):
  with pytest.raises(UserError) as caught:
    check(config(**values), TABLE)
  assert all(part in str(caught.value) for part in parts), caught.value


def test_unknown_and_missing_keys():
  more = config()
  more.streams.D.rate = 1.0
  with pytest.raises(UserError, match=r'streams\.D\.rate: no such key \(known: loss, lr\)'):
    check(more, TABLE)
  more = config()
  more.sead = 1
  with pytest.raises(UserError, match=r'sead: no such key \(did you mean seed\?\)'):
    check(more, TABLE)
  less = config()
  del less.data.path
  with pytest.raises(UserError, match=r'data\.path: missing'):
    check(less, TABLE)


def test_groups():
  for values, part in (({'data': 3}, 'data = 3: must be a group'), ({'streams': {}}, 'at least 1'),
                       ({'streams': {'a.b': {}}}, 'letters'), ({'streams': {'E1': 2}}, r'streams\.E1 = 2')):
    with pytest.raises(UserError, match=part):
      check(config().to_dict() | values, TABLE)


def test_defaults_are_of_the_types_that_the_command_line_reads():
  made = defaults(TABLE)
  assert made.to_dict() == {'seed': 0, 'data': {'defects': ('good',), 'path': None}, 'streams': {}}
  assert made.data.get_type('path') is str
  assert defaults({'lr': Key(0.5, Optional(Number()))}).get_type('lr') is float
  made.data.defects = ('defective',)
  assert defaults(TABLE).data.defects == ('good',)
  other = with_defaults(TABLE, seed=3, data={'defects': ('defective',)})
  assert flatten(defaults(other)) == {'seed': 3, 'data.defects': ('defective',), 'data.path': None, 'streams': {}}


def test_keys_of_a_group_whose_names_the_config_chooses():
  assert sorted(flat_keys(TABLE, config())) == [
    'data.defects', 'data.path', 'seed', 'streams.D.loss', 'streams.D.lr', 'streams.E1.loss', 'streams.E1.lr']


def test_help_has_value_unit_rule_and_meaning():
  lines = list(describe(config(seed=7), TABLE))
  assert lines[:2] == ['  seed = 7', '      a whole number at least 0. Whatever is drawn.']
  assert lines[lines.index('  streams.E1.lr = 0.001 per step') + 1] == '      a finite number above 0.'


def test_a_config_of_an_earlier_version_is_completed():
  table = {'seed': Key(5, Integer(0)), 'group': {'new': Key(1, Integer(), was='old'), 'more': Key(2, Integer())},
           'streams': Named({'rate': Key(3, Integer(), was='lr')})}
  saved = ConfigDict({'group': {'old': 9}, 'streams': {'E': {'lr': 8}, 'F': {}}})
  made = complete(saved, table)
  assert made.to_dict() == {'seed': 5, 'group': {'new': 9, 'more': 2}, 'streams': {'E': {'rate': 8}, 'F': {'rate': 3}}}
  assert saved.to_dict() == {'group': {'old': 9}, 'streams': {'E': {'lr': 8}, 'F': {}}}
