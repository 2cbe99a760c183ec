"""launch.sh with a pretended Python and pip: what it installs when, and what it then runs."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Stands for python3.11 and for .venv/bin/python: notes each call, makes an environment of itself, installs nothing.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$NOTES"
case "$*" in
  -V) echo 'Python 3.11.2' ;;
  -c*) ;;
  '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  '-m pip '*) sleep "${PIP_TAKES:-0}"; if [ -n "${PIP_FAILS:-}" ]; then echo 'ERROR: no network'; exit 1; fi ;;
  *) echo "ran $* JAX_PLATFORMS=${JAX_PLATFORMS:-}" ;;
esac
"""


@pytest.fixture
def house(tmp_path):
  """A copy of launch.sh and what it reads, in a folder with a space in its name."""
  root = tmp_path / 'my house'
  root.mkdir()
  for name in ('launch.sh', 'setup.cfg', 'pyproject.toml', 'requirements-cpu.lock', 'requirements-cuda.lock'):
    shutil.copy(ROOT / name, root)
  tools = tmp_path / 'tools'
  tools.mkdir()
  script(tools / 'python3.11', PYTHON)
  script(tools / 'nvidia-smi', '#!/bin/sh\nexit 9\n')
  return root


def script(path, text):
  path.write_text(text)
  path.chmod(0o755)


def start(house, *arguments, cwd=None, **env):
  tools = house.parent / 'tools'
  env = {'PATH': f'{tools}:/usr/bin:/bin', 'NOTES': str(house.parent / 'notes'), **env}
  return subprocess.Popen([house / 'launch.sh', *arguments], cwd=cwd or house.parent, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def launch(house, *arguments, **options):
  process = start(house, *arguments, **options)
  out, err = process.communicate(timeout=30)
  return process.returncode, out, err


def calls(house, part):
  notes = house.parent / 'notes'
  found = [line for line in notes.read_text().splitlines() if part in line] if notes.exists() else []
  notes.unlink(missing_ok=True)
  return found


def test_shell_syntax_and_help(house):
  assert subprocess.run(['bash', '-n', ROOT / 'launch.sh'], check=False).returncode == 0
  code, out, _ = launch(house, '--help')
  assert code == 0
  for word in ('launch.sh CONFIG', 'test --slow', '--cpu', '3.11'):
    assert word in out
  assert launch(house)[0] == 2
  code, _, err = launch(house, '--workdir=x')
  assert (code, err.count('\n')) == (2, 1)
  assert not (house / '.venv').exists()


def test_first_call_installs_and_the_second_starts_at_once(house):
  code, out, err = launch(house, 'configs/a.py:tiny', '--config.seed=1', cwd=house)
  assert code == 0
  assert out == ('launch: running on cpu\n'
                 'ran -m defect_jax.main --config=configs/a.py:tiny --config.seed=1 JAX_PLATFORMS=\n')
  assert 'for cpu' in err
  installs = calls(house, '-m pip')
  assert [line.split()[-2:] for line in installs] == [[*f'-r {house}/requirements-cpu.lock'.split()[-2:]],
                                                      [*f'-e {house}'.split()[-2:]]]
  assert all('--no-deps' in line for line in installs)
  code, out, err = launch(house, 'python', '-m', 'experiments.bench_step', '--cpu')
  assert (code, out, err) == (0, 'ran -m experiments.bench_step --cpu JAX_PLATFORMS=\n', '')
  assert calls(house, '-m pip') == []


def test_tests_run_in_the_repository(house):
  script(house.parent / 'tools' / 'python3.11', PYTHON.replace('"ran $*', '"in $PWD ran $*'))
  _, out, _ = launch(house, 'test', '--slow', '-k', 'a b')
  assert out == f'in {house} ran -m pytest -n 2 --dist loadfile --slow -k a b JAX_PLATFORMS=\n'


def test_an_interrupted_or_failed_install_is_done_again(house):
  code, out, err = launch(house, 'configs/a.py', PIP_FAILS='1')
  assert (code, out) == (1, '')
  last = err.splitlines()[-1]
  assert last.startswith('error: installing failed: ERROR: no network')
  assert 'call again' in last
  assert not (house / '.venv' / 'installed').exists()
  calls(house, '')
  assert launch(house, 'configs/a.py')[0] == 0
  assert len(calls(house, '-m venv')) == 1


def test_a_stopped_install_leaves_no_stamp(house):
  process = start(house, 'configs/a.py', PIP_TAKES='5')
  deadline = time.monotonic() + 10
  while not (house.parent / 'notes').exists() or '-m pip' not in (house.parent / 'notes').read_text():
    assert time.monotonic() < deadline
    time.sleep(0.05)
  process.terminate()
  process.communicate(timeout=10)
  assert process.returncode == 130
  assert not (house / '.venv' / 'installed').exists()


def test_a_changed_lock_completes_the_environment_and_another_accelerator_makes_it_anew(house):
  launch(house, 'configs/a.py')
  calls(house, '')
  with open(house / 'requirements-cpu.lock', 'a') as file:
    file.write('one-more==1\n')
  launch(house, 'configs/a.py')
  assert len(calls(house, '-m pip')) == 2
  launch(house, 'configs/a.py')
  assert calls(house, '-m pip') == []
  script(house.parent / 'tools' / 'nvidia-smi', '#!/bin/sh\necho "GPU 0: pretended"\n')
  _, out, _ = launch(house, 'configs/a.py')
  assert out.startswith('launch: running on cuda\n')
  assert len(calls(house, '-m venv')) == 1
  _, out, _ = launch(house, 'configs/a.py', '--cpu', '--config.seed=1')
  assert out.endswith('--config=configs/a.py --config.seed=1 JAX_PLATFORMS=cpu\n')
  assert calls(house, '-m pip') == []


def test_two_launches_do_not_install_over_each_other(house):
  both = [start(house, 'configs/a.py', PIP_TAKES='0.5') for _ in range(2)]
  outs = [process.communicate(timeout=30) for process in both]
  assert [process.returncode for process in both] == [0, 0]
  assert len(calls(house, '-m venv')) == 1
  assert sum('waiting for another launch' in err for _, err in outs) == 1


def test_no_python(house):
  (house.parent / 'tools' / 'python3.11').unlink()
  for name in ('bash', 'dirname', 'cat', 'cksum', 'grep', 'rm', 'mkdir', 'touch', 'flock', 'cut'):
    os.symlink(shutil.which(name), house.parent / 'tools' / name)
  code, _, err = launch(house, 'configs/a.py', PATH=str(house.parent / 'tools'))
  assert code == 1
  assert err.startswith('error: no Python 3.11 or 3.12 found; install one')
  assert err.count('\n') == 1


def test_an_environment_of_someone_else_is_not_removed(house):
  (house / '.venv').mkdir()
  (house / '.venv' / 'mine').touch()
  code, _, err = launch(house, 'configs/a.py')
  assert code == 1
  assert 'was not made by launch.sh' in err
  assert (house / '.venv' / 'mine').exists()


@pytest.mark.parametrize('kind', ['cpu', 'cuda', 'tpu'])
def test_locks_are_exact_and_name_no_place(kind):
  lines = [line for line in (ROOT / f'requirements-{kind}.lock').read_text().splitlines()
           if line and not line.lstrip().startswith('#')]
  assert all('==' in line for line in lines)
  assert not [line for line in lines if '/' in line or '@' in line or line.startswith('-')]
  assert 'jax==0.10.2' in lines
