"""Configs: command line to values, rules, hash, what may change when a run goes on."""

import hashlib
import json

import pytest
from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from defect_jax.config import (
  UserError,
  changes,
  config_hash,
  from_command_line,
  from_json,
  load,
  parse_arg,
  resumable,
  to_json,
)
from defect_jax.rules import Integer, Names, Number, Text
from defect_jax.schema import Key, Named

CONFIG = """
from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder
from defect_jax.config import parse_arg

def get_config(arg=None):
  arg = parse_arg(arg, tiny=False, method=('split', 'joint'), width=16)
  return ConfigDict(dict(
    seed=0, width=arg.width, method=arg.method,
    data=dict(defects=('a', 'b'), path=placeholder(str), flip=True),
    model=dict(widths=(16, 32)),
    targets=dict(kld=30.0, mse=placeholder(float), mse_of_variance=FieldReference(0.02)),
    steps=dict(total=20 if arg.tiny else 1000)))
"""


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'job.py'
  path.write_text(CONFIG)
  return path


def read(file, *overrides):
  return from_command_line([f'--config={file}', *overrides])[1]


def fault(file, *overrides):
  with pytest.raises(UserError) as caught:
    read(file, *overrides)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_overrides_take_the_type_of_the_default(file):
  name, config, rest = from_command_line(
    ['--config.targets.kld=20', '--workdir=w', '--config', f'{file}:tiny', '--config.targets.mse', '1e-3',
     '--noconfig.data.flip', '--config.data.defects=c', '--config.model.widths=(8, 16,32)', '--config.seed', '-1'])
  assert name == 'job'
  assert rest == ['--workdir=w']
  assert config.steps.total == 20
  assert config.targets.kld == 20.0
  assert isinstance(config.targets.kld, float)
  assert config.targets.mse == 0.001
  assert config.data.flip is False
  assert config.data.defects == ('c',)
  assert config.model.widths == (8, 16, 32)
  assert config.seed == -1
  assert config.is_locked


def test_several_names_make_a_tuple_of_names(file):
  for text in ('b,c', "('b','c')", '"b", "c"', 'b,c,'):
    assert read(file, f'--config.data.defects={text}').data.defects == ('b', 'c')


def test_optional_values_can_be_taken_away_and_set_again(file):
  assert read(file, '--config.targets.mse_of_variance=none').targets.mse_of_variance is None
  again = read(file, '--config.targets.mse_of_variance=none', '--config.targets.mse_of_variance=0.01')
  assert again.targets.mse_of_variance == 0.01
  assert read(file, '--config.data.path=none').data.path is None
  assert 'must be a number' in fault(file, '--config.targets.kld=none')


def test_switches_take_no_following_word(file):
  _, config, rest = from_command_line([f'--config={file}', '--config.data.flip', 'stray'])
  assert config.data.flip is True
  assert rest == ['stray']


@pytest.mark.parametrize(('override', 'parts'), [
  ('--config.targets.kdl=3', ['targets.kdl', 'no such key', 'did you mean targets.kld?']),
  ('--config.kld=3', ['did you mean targets.kld?']),
  ('--config.seed=29.5', ['seed=29.5', 'whole number']),
  ('--config.targets.kld=nan', ['targets.kld=nan', 'finite']),
  ('--config.targets.kld=-inf', ['finite']),
  ('--config.targets={}', ['group of keys', 'targets.kld']),
  ('--config.data.flip=maybe', ['true or false']),
  ('--config.model.widths=8,x', ['widths=x', 'whole number']),
  ('--config.seed', ['seed=', 'whole number']),
  ('--noconfig.seed', ['not a switch']),
])
def test_wrong_overrides_say_what_is_allowed(file, override, parts):
  message = fault(file, override)
  assert all(part in message for part in parts), message


@pytest.mark.parametrize(('source', 'parts'), [
  ('def get_config(:\n', ['job.py:1', 'SyntaxError']),
  ('x = 1\n', ['get_config']),
  ('def get_config():\n  return 1 / 0\n', ['job.py:2', 'ZeroDivisionError']),
  ('def get_config():\n  return {}\n', ['returned dict', 'not a ConfigDict']),
])
def test_broken_config_files(tmp_path, source, parts):
  path = tmp_path / 'job.py'
  path.write_text(source)
  message = fault(path)
  assert all(part in message for part in parts), message


def test_missing_config_files(tmp_path):
  assert 'no such config file' in fault(tmp_path / 'none.py')
  assert 'no such config file' in fault(tmp_path)
  with pytest.raises(UserError, match='--config: missing'):
    from_command_line(['--config.seed=1'])


def test_a_config_is_found_beside_the_package_from_anywhere(tmp_path, file, monkeypatch):
  monkeypatch.setattr('defect_jax.config.ROOT', tmp_path)
  (tmp_path / 'elsewhere').mkdir()
  monkeypatch.chdir(tmp_path / 'elsewhere')
  assert load('job.py:width=4').width == 4


def test_parse_arg():
  def parse(arg):
    return parse_arg(arg, tiny=False, method=('split', 'joint'), width=16, rate=0.5).to_dict()

  defaults = {'tiny': False, 'method': 'split', 'width': 16, 'rate': 0.5}
  assert parse(None) == parse('') == defaults
  assert parse('tiny, joint,width=8') == {'tiny': True, 'method': 'joint', 'width': 8, 'rate': 0.5}
  assert parse('tiny=false,method=joint,rate=1') == {'tiny': False, 'method': 'joint', 'width': 16, 'rate': 1.0}


@pytest.mark.parametrize(('arg', 'part'), [
  ('tiyn', 'did you mean tiny?'), ('widht=3', 'did you mean width?'), ('method=joined', 'did you mean joint?'),
  ('width=1.5', 'whole number'), ('rate=nan', 'finite'), ('width', 'no such word'), ('tiny=2', 'true or false'),
])
def test_parse_arg_refuses(arg, part):
  with pytest.raises(UserError, match='config argument') as caught:
    parse_arg(arg, tiny=False, method=('split', 'joint'), width=16, rate=0.5)
  assert part in str(caught.value)


def test_a_word_of_two_choices_must_be_named():
  choices = {'loss': ('kld', 'none'), 'optimizer': ('adam', 'none')}
  with pytest.raises(UserError, match='loss and optimizer'):
    parse_arg('none', **choices)
  assert parse_arg('optimizer=none', **choices).to_dict() == {'loss': 'kld', 'optimizer': 'none'}


def test_json_keeps_types_and_placeholders():
  config = ConfigDict({'a': {'t': ('x', ('y', 1)), 'f': 1.0}, 'p': placeholder(float), 'r': FieldReference(0.25)})
  text = to_json(config)
  again = from_json(text)
  assert again.a.t == ('x', ('y', 1))
  assert isinstance(again.a.f, float)
  assert again.p is None
  assert again.r == 0.25
  assert to_json(again) == text
  for broken in ('', '{"a": ', '[1]'):
    with pytest.raises(ValueError):
      from_json(broken)


TABLE = {
  'vae': Key('a', Text(), path=True), 'made': {'sets': Key((), Names(least=0), path=True)},
  'data': {'path': Key('/', Text(), path=True), 'size': Key(1, Integer()), 'fit': Key('crop', Text(), added=True),
           'rate': Key(1, Integer(), was='lr')}}


def sha256(values):
  return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def test_config_hash_leaves_out_logging_and_paths():
  config = ConfigDict({'seed': 1, 'data': {'path': '/a', 'size': 64}, 'steps': {'total': 10, 'log': 5}, 'vae': 'a'})
  hashed = sha256({'data.size': 64, 'seed': 1, 'steps.total': 10})
  assert config_hash(config, TABLE) == hashed
  same = ConfigDict({'vae': 'b', 'steps': {'log': 7, 'total': 10}, 'data': {'size': 64, 'path': '/b'}, 'seed': 1})
  assert config_hash(same, TABLE) == hashed
  same.data.size = 65
  assert config_hash(same, TABLE) != hashed


def test_a_renamed_key_is_known_by_its_earlier_name(tmp_path, monkeypatch):
  (tmp_path / 'job.py').write_text('from ml_collections import ConfigDict\ndef get_config(arg=None):\n'
                                   "  return ConfigDict({'task': 'own', 'data': {'lr': 3}})\n")
  table = {'task': Key('own', Text()), 'data': {'rate': Key(1, Integer(), was='lr'), 'more': Key(2, Integer())}}
  monkeypatch.setattr('defect_jax.config.table_of', lambda config: table)
  assert read(tmp_path / 'job.py').to_dict() == {'task': 'own', 'data': {'rate': 3, 'more': 2}}
  assert read(tmp_path / 'job.py', '--config.data.lr=5').data.rate == 5
  assert read(tmp_path / 'job.py', '--config.data.rate=6').data.rate == 6
  saved, new = ConfigDict({'task': 'own', 'data': {'lr': 3}}), read(tmp_path / 'job.py')
  assert changes(saved, new) == []
  assert changes(saved, read(tmp_path / 'job.py', '--config.data.rate=6')) == ['data.rate']


def test_config_hash_of_later_versions_and_with_made_sets():
  config = ConfigDict({'data': {'path': '/a', 'size': 64, 'fit': 'crop', 'rate': 2}, 'made': {'sets': ('here',)}})
  before = {'data.size': 64, 'data.lr': 2}
  assert config_hash(config, TABLE) == sha256(before)
  assert config_hash(config, TABLE, ['ab12']) == sha256(before | {'made.sets': ['ab12']})
  config.data.fit = 'pad'
  assert config_hash(config, TABLE) == sha256(before | {'data.fit': 'pad'})


def run_config(**values):
  config = ConfigDict({'seed': 0, 'steps': {'total': 100, 'log': 10}, 'streams': {'E1': {'lr': 1e-3}},
                       'targets': {'kld': 30.0}})
  with config.unlocked():
    config.update_from_flattened_dict(values)
  return config


def test_what_may_change_when_a_run_goes_on():
  saved = from_json(to_json(run_config()))
  resumable(saved, run_config())
  resumable(saved, run_config(**{'steps.total': 200, 'steps.log': 1}))
  newer = run_config()
  newer.targets.mse = 0.001  # a key that the saved config did not know
  newer.profiling = ConfigDict({'on': True})
  resumable(saved, newer)
  with pytest.raises(UserError, match=r'seed, targets\.kld differ'):
    resumable(saved, run_config(**{'seed': 1, 'targets.kld': 29.0, 'steps.total': 5}))
  with pytest.raises(UserError, match=r'steps\.total differ'):
    resumable(saved, run_config(**{'steps.total': 200, 'steps.log': 1}), fixed=('steps.total',))


def test_a_stream_more_or_less_is_a_change():
  saved, more = run_config(), run_config()
  more.streams.E2 = ConfigDict({'lr': 1e-3})
  table = {'train': {'streams': Named({'lr': Key(1e-3, Number()), 'decay': Key(0.0, Number())})}}
  saved, more = ConfigDict({'train': saved}), ConfigDict({'train': more})
  assert changes(saved, more, table=table) == ['train.streams.E2.lr']
  assert changes(more, saved, table=table) == ['train.streams.E2.lr']
  within = run_config()
  within.streams.E1.decay = 0.0
  within = ConfigDict({'train': within})
  assert changes(saved, within, table=table) == []
  within.train.streams.E1.decay = 0.1
  assert changes(saved, within, table=table) == ['train.streams.E1.decay']


def test_a_value_that_became_a_group_is_a_change():
  saved, new = ConfigDict({'augment': False}), ConfigDict({'augment': {'flip': True}})
  assert changes(saved, new) == ['augment']
