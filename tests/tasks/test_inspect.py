"""The task inspect: its files by the contract, commands that are commands, and that it looks anew at each start."""

import json
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from made_photos import bumps, dented, write
from workdirs import summary_of

from defect_jax import main
from defect_jax.config import from_command_line, table_of
from defect_jax.schema import check


@pytest.fixture
def inspect():
  """Runs the task in this process: (workdir, photos) -> exit status."""
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(workdir, photos):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(['--config=configs/inspect.py:tiny', f'--workdir={workdir}', f'--config.photos={photos}'])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


@pytest.fixture
def photos_with_masks(tmp_path):
  """Good photos and dents, with masks of all but one, and one that is cut off."""
  root = tmp_path / 'my photos'
  for number in range(6):
    write(root / f'OK/{number}.png', bumps(number))
  for number in range(4):
    write(root / f'NG/dent/{number}.png', dented(number))
    if number:
      write(root / f'ground_truth/dent/{number}_mask.png', np.uint8(dented(number) == 255))
  (root / 'OK/cut.png').write_bytes((root / 'OK/0.png').read_bytes()[:99])
  return root


def test_what_comes_out(inspect, photos_with_masks, tmp_path, check_outputs, capsys):
  assert inspect(tmp_path / 'run', photos_with_masks) == 0
  check_outputs(tmp_path / 'run')
  found = json.loads((tmp_path / 'run/inspect.json').read_text())
  assert found['layout'] == 'classes'
  assert found['classes'] == {'good': {'photos': 7, 'masks': 0, 'groups': 7},
                              'dent': {'photos': 4, 'masks': 3, 'groups': 4}}
  assert (found['sizes'], found['bit_depths'], found['channels']) == ({'32 x 32': 10}, {'8': 10}, {'1': 10})
  assert ('OK/cut.png', 'broken') in [(problem['file'], problem['kind']) for problem in found['problems']]
  assert summary_of(tmp_path / 'run')['problems'] == len(found['problems'])
  out = capsys.readouterr().out
  assert 'class folders: 11 photos; good: OK/ (7 photos), dent: NG/dent/ (4); 3 masks.' in out
  assert 'Cannot be read (1): OK/cut.png' in out
  assert all(command in out for command in found['commands'])


def test_the_commands_are_commands(inspect, photos_with_masks, tmp_path):
  inspect(tmp_path / 'run', photos_with_masks)
  commands = json.loads((tmp_path / 'run/inspect.json').read_text())['commands']
  assert len(commands) == 7
  for command in commands:
    python, *words = shlex.split(command)
    assert (python, words[:2]) == ('python', ['-m', 'defect_jax.main'])
    _, config, _ = from_command_line([word for word in words[2:] if not word.startswith('--workdir')])
    check(config, table_of(config))
    earlier = [f'runs/{other}' for other in ('my_photos_vae_split', 'my_photos_inpaint_train', 'my_photos_anomaly')]
    assert str(photos_with_masks) in command or any(run in command for run in earlier)


def test_each_start_looks_anew_at_other_photos_too(inspect, photos_with_masks, tmp_path, photos):
  assert inspect(tmp_path / 'run', photos_with_masks) == 0
  (photos_with_masks / 'OK/cut.png').unlink()
  assert inspect(tmp_path / 'run', photos_with_masks) == 0
  assert summary_of(tmp_path / 'run')['photos'] == 10
  assert inspect(tmp_path / 'run', photos) == 0
  assert json.loads((tmp_path / 'run/inspect.json').read_text())['classes'].keys() == {'dent'}


def test_refusals(inspect, tmp_path, assert_refused, finished):
  (tmp_path / 'empty').mkdir()
  assert_refused(inspect(tmp_path / 'run', tmp_path / 'empty'), tmp_path / 'run', 'is of no known layout')
  assert_refused(inspect(tmp_path / 'run', tmp_path / 'nowhere'), tmp_path / 'run', 'nowhere does not exist')
  assert_refused(inspect(tmp_path / 'run', 'none'), tmp_path / 'run', 'photos: is not set')  # as it is by default
  before = (finished[0] / 'config.json').read_bytes()
  assert inspect(finished[0], tmp_path) == 2 and (finished[0] / 'config.json').read_bytes() == before


def test_it_needs_neither_jax_nor_tensorflow(photos, tmp_path, clean_env):
  code = ('import sys; from defect_jax import main; status = main.main(sys.argv[1:]); '
          'sys.exit(status or 10 * bool({"jax", "tensorflow"} & sys.modules.keys()))')
  words = ['--config=configs/inspect.py', f'--workdir={tmp_path / "run"}', f'--config.photos={photos}']
  done = subprocess.run([sys.executable, '-c', code, *words], env=clean_env, capture_output=True, text=True)
  assert (done.returncode, done.stderr) == (0, '')
