"""The configs themselves: they pass the check of their task, variants differ only in what they say, tiny is small."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from configs import vae_joint, vae_partition, vae_perceptual, vae_sharp, vae_split
from defect_jax.config import UserError, changes, config_hash, from_command_line, from_json, load, table_of, to_json
from defect_jax.schema import check, flatten

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / 'configs').glob('[!_]*.py'))


@pytest.mark.parametrize(('name', 'arg'), [
    *((name, arg) for name in NAMES for arg in ('', ':tiny')),
    ('inpaint_train', ':large'), ('inpaint_train', ':large,tiny')])
def test_every_config_passes_its_tasks_check_and_survives_json(name, arg):
  config = load(f'configs/{name}.py{arg}')
  check(config, table_of(config))
  again = from_json(to_json(config))
  assert changes(config, again) == [] and config_hash(config) == config_hash(again)


@pytest.mark.parametrize('name', NAMES)
def test_the_commands_of_a_docstring_are_commands(name, monkeypatch):
  module = importlib.import_module(f'configs.{name}')
  text = module.__doc__.replace('\\\n', ' ')
  commands = re.findall(r'python -m defect_jax\.main (.*)', text)
  assert f'--config=configs/{name}.py' in commands[0]
  for command in commands:
    words = [word for word in command.split() if word.startswith('--') and not word.startswith('--workdir')]
    _, config, rest = from_command_line(words)
    check(config, table_of(config))
    assert rest == []


@pytest.mark.parametrize('name', NAMES)
def test_unknown_words_after_the_colon_are_refused(name):
  with pytest.raises(UserError, match='config argument huge'):
    load(f'configs/{name}.py:huge')


def test_joint_differs_from_split_in_streams_and_policy_only():
  split, joint = vae_split.get_config(), vae_joint.get_config()
  differ = {key.partition('.')[0] for key in changes(split, joint) + changes(joint, split)}
  assert differ == {'streams', 'control'}
  assert [key for key in changes(split, joint) if key.startswith('control')] == ['control.policy']
  (stream,) = joint.streams.values()
  assert (stream.loss, stream.optimizer, joint.control.policy) == ('elbo', 'adam', 'constant')


def test_partition_differs_from_split_in_patterns_only():
  differ = changes(vae_split.get_config(), vae_partition.get_config())
  assert differ == ['streams.E1.params', 'streams.E2.params']


def test_perceptual_adds_a_stream_and_its_target():
  split, perceptual = vae_split.get_config(), vae_perceptual.get_config()
  added = {f'streams.P.{key}' for key in ('loss', 'params', 'optimizer', 'lr')}
  assert set(changes(split, perceptual) + changes(perceptual, split)) == added | {'targets.lpips'}
  assert (perceptual.streams.P.loss, perceptual.streams.P.params) == ('lpips', 'decoder/.*')


def test_sharp_differs_from_split_in_the_mse_target_and_the_steps():
  assert changes(vae_split.get_config(), vae_sharp.get_config()) == ['steps.total', 'targets.mse_of_variance']


def test_the_split_is_kld_on_the_encoder_and_mse_on_both():
  streams = vae_split.get_config().streams
  assert {name: (s.loss, s.params) for name, s in streams.items()} == {
      'E1': ('kld', 'encoder/.*'), 'E2': ('mse', 'encoder/.*'), 'D': ('mse', 'decoder/.*')}


@pytest.mark.parametrize('name', [
    name for name in NAMES if name not in ('predict', 'inspect')])  # have nothing to make smaller
def test_tiny_is_the_same_job_smaller(name):
  whole, tiny = load(f'configs/{name}.py'), load(f'configs/{name}.py:tiny')
  assert flatten(whole).keys() == flatten(tiny).keys()
  smaller = {'vae': ('batch', 'data.few_shot', 'data.size', 'model.widths'), 'generate': ('batch', 'count'),
             'anomaly': ('data.size', 'train.average', 'train.batch', 'train.model.latent', 'train.model.widths',
                         'train.targets.kld'),
             'inpaint': ('count', 'geometry.crop', 'sampler.steps', 'weights'),
             'inpaint_train': ('batch', 'data.areas', 'data.size', 'measure.batch', 'measure.images', 'measure.steps',
                               'model.autoencoder.widths', 'model.unet.attention', 'model.unet.widths',
                               'optimizer.warmup'),
             'classifier': ('batch', 'data.good', 'data.size', 'model.views', 'model.widths')}
  differ = {key for key in changes(whole, tiny) if not re.match(r'((train|autoencoder)\.)?steps\.', key)}
  assert differ == set(smaller[whole.task])
  def work_of(config):
    return config.count if 'count' in config else config.get('train', config).steps.total * config.data.size
  work = work_of(tiny), work_of(whole)
  assert work[0] <= work[1] / 10


def test_configs_are_made_anew_at_each_call():
  first = vae_split.get_config()
  first.streams.E1.lr = 5.
  assert vae_split.get_config().streams.E1.lr != 5. and vae_joint.get_config().control.policy == 'constant'
  assert vae_split.get_config().control.policy == 'pi'


def test_configs_need_no_jax():
  code = f'import sys; import {", ".join(f"configs.{name}" for name in NAMES)}; sys.exit("jax" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
