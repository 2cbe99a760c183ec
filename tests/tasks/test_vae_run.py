"""The VAE job from command to summary, stopped in every way, in processes of its own."""

import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from made_photos import bumps, names, write

from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir
from defect_jax.training import checkpoint

# Of this machine, not of the run.
MEASURED = ('seconds', 'compile_seconds', 'images_per_second', 'peak_memory_mb', 'answers_seconds', 'known_seconds')


def summary(workdir):
  return {k: v for k, v in json.loads((workdir / 'summary.json').read_text()).items() if k not in MEASURED}


def rows(workdir):
  return [{k: v for k, v in row.items() if k != 'seconds'} for row in Workdir(workdir).read_metrics()]


def arrays(workdir):
  """{path: bytes} of all arrays of the newest checkpoint."""
  import orbax.checkpoint as ocp
  folder = Workdir(workdir).checkpoint(checkpoint.steps(Workdir(workdir))[-1])
  with ocp.PyTreeCheckpointer() as reader:
    tree = reader.restore((folder / 'state').absolute())

  def leaves(node, path=''):
    if isinstance(node, dict):
      return {k: v for name, child in node.items() for k, v in leaves(child, f'{path}/{name}').items()}
    return {path: np.asarray(node).tobytes()}
  return leaves(tree)


def assert_same_run(workdir, other):
  assert summary(workdir) == summary(other)
  assert rows(workdir) == rows(other)
  assert checkpoint.steps(Workdir(workdir)) == checkpoint.steps(Workdir(other))
  assert arrays(workdir) == arrays(other)


def wait_for(process, condition, seconds=120):
  """Until the condition holds; False where the process ended before."""
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end, 'waited in vain'
    if process.poll() is not None:
      return False
    time.sleep(0.01)
  return True


def reached(workdir, step):
  def condition():
    found = Workdir(workdir).read_metrics()
    return bool(found) and found[-1]['step'] >= step
  return condition


def status(workdir):
  return json.loads((workdir / 'status.json').read_text())


@pytest.fixture
def copied(finished, tmp_path):
  shutil.copytree(finished[0], tmp_path / 'run')
  return tmp_path / 'run'


def test_a_finished_workdir_holds_what_the_contract_names(finished, check_outputs):
  workdir, _ = finished
  assert status(workdir)['state'] == 'finished' and status(workdir)['step'] == 40
  shown = {f'{step}_{what}.png' for step in (20, 40) for what in ('recon', 'prior')} | {'40_traversal.png'}
  assert {p.name for p in (workdir / 'samples').iterdir()} == shown
  assert len(list(workdir.glob('events.*'))) == 1
  assert [row['step'] for row in rows(workdir)] == list(range(2, 41, 2))
  assert checkpoint.steps(Workdir(workdir)) == [24, 32, 40]
  check_outputs(workdir)


def test_the_summary_is_made_of_the_rows_and_the_photos(finished):
  workdir, _ = finished
  found, last = summary(workdir), rows(workdir)[-2:]  # the last tenth: 4 of 40 steps, 2 a row
  for loss in ('kld', 'mse'):
    assert found[loss] == pytest.approx(np.mean([row[f'train/{loss}'] for row in last]), rel=1e-6)
    assert found[f'{loss}_target'] == pytest.approx(last[-1][f'target/{loss}'])
  assert found['kld_target'] == 16 and found['mse_target'] == pytest.approx(0.02 * found['variance'], rel=1e-6)
  assert found['log_n'] == pytest.approx(np.log(13)) and found['latent_dim'] == 4 and found['steps'] == 40
  assert found['devices'] == 1 and found['platform'] == 'cpu' and found['steps_to_targets'] is None
  assert found['dev_mse'] == pytest.approx(rows(workdir)[-1]['eval/mse'], rel=1e-6)
  first = rows(workdir)[0]
  assert found['mse'] < 0.9 * first['train/mse']  # it learns


def test_what_a_run_says_before_and_while_it_trains(finished):
  _, out = finished
  assert 'note: data.few_shot asks for 16; part pool has 13, all are used\n' in out
  assert '13 photos of dent, part pool, split by hash, 32 px; 3 held out; log N = 2.56 nats\n' in out
  assert 'targets: KLD 16 nats, MSE ' in out and '= 2.00% of the variance' in out
  assert re.search(r'stream E1: kld moves 6 arrays by adam_shared, lr 0\.002\n', out)
  assert re.search(r'step 40/40  .*KLD \d+\.\d\d \(target 16\)  MSE \d\.\d+e-0\d \(target ', out)


def test_the_same_command_again_says_finished_and_changes_nothing(copied, command, capsys):
  before = {p: p.read_bytes() for p in copied.rglob('*') if p.is_file()}
  assert command(f'--workdir={copied}') == 0
  assert 'finished already' in capsys.readouterr().out
  assert {p: p.read_bytes() for p in copied.rglob('*') if p.is_file()} == before


@pytest.mark.parametrize(('argument', 'key'), [
  ('--config.seed=1', 'seed'), ('--config.targets.kld=20', 'targets.kld'),
  ('--config.streams.E1.lr=0.1', 'streams.E1.lr'),
])
def test_a_changed_key_is_refused(copied, command, capsys, argument, key):
  before = {p: p.read_bytes() for p in copied.rglob('*') if p.is_file()}
  assert command(f'--workdir={copied}', argument) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ') and err.count('\n') == 1 and f'{key} differ' in err
  assert {p: p.read_bytes() for p in copied.rglob('*') if p.is_file()} == before


def test_a_run_does_not_go_on_with_other_photos(copied, job, photos, tmp_path):
  shutil.copytree(photos, tmp_path / 'others')
  write(tmp_path / 'others' / names('pool', 1)[0], bumps(1000))
  config = copied / 'config.json'
  config.write_text(config.read_text().replace(str(photos), str(tmp_path / 'others')))  # as if they had been there
  before = {p: p.read_bytes() for p in copied.rglob('*') if p.is_file() and p.name not in ('lock', 'status.json')}
  process = job(copied, '--config.steps.total=48', f'--config.data.path={tmp_path / "others"}')
  _, err = process.communicate()
  assert process.returncode == 2 and err.count('\n') == 1
  assert {path: path.read_bytes() for path in before} == before  # the finished run is as it was
  assert err.startswith('error: data: the photos are others than those that the run began with')


def test_more_steps_go_on_after_setting_a_damaged_checkpoint_aside(copied, finished, job):
  digest = copied / 'checkpoints' / '40' / 'digest.json'
  name = next(name for name in json.loads(digest.read_text()) if '/d/' in name)
  data = bytearray((digest.parent / name).read_bytes())
  data[len(data) // 2] ^= 4
  (digest.parent / name).write_bytes(data)
  process = job(copied, '--config.steps.total=44')
  out, err = process.communicate(timeout=200)
  assert process.returncode == 0, err
  assert 'checkpoint 40 is damaged' in err and 'going on from step 32\n' in out
  assert summary(copied)['steps'] == 44
  again, before = rows(copied), rows(finished[0])
  assert [row['step'] for row in again] == list(range(2, 45, 2))
  assert [row for row in again if row['step'] < 40] == before[:-1]  # at 40 the first run was evaluated as at its end
  assert {k: again[19][k] for k in again[19] if not k.startswith('eval')} == {
      k: v for k, v in before[19].items() if not k.startswith('eval')}


def interrupted(job, workdir, step, number):
  """Starts the job, sends a signal once the step is logged, and returns (exit status, stdout, stderr)."""
  process = job(workdir)
  logged = reached(workdir, step)
  # What the run before it left may be as far already; a process that has not written its status does not listen yet.
  assert wait_for(process, lambda: logged() and status(workdir)['pid'] == process.pid), process.communicate()
  process.send_signal(number)
  out, err = process.communicate(timeout=100)
  return process.returncode, out, err


def end(job, workdir):
  process = job(workdir)
  out, err = process.communicate(timeout=200)
  assert process.returncode == 0, err
  return out


def test_killed_and_stopped_it_ends_bit_for_bit_as_if_never(finished, job, tmp_path):
  workdir = tmp_path / 'run'
  steps = sorted(np.random.default_rng(time.time_ns()).integers(2, 30, 3).tolist())
  print('signals at', steps)
  for step in steps[:2]:
    assert interrupted(job, workdir, step, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (workdir / 'summary.json').exists()
  code, _, err = interrupted(job, workdir, steps[2], signal.SIGTERM)
  assert code == 3
  stop = re.fullmatch(r'stopped at step (\d+) of 40, saved; the same command goes on\n', err)
  assert stop and checkpoint.steps(Workdir(workdir))[-1] == int(stop[1])
  assert status(workdir)['state'] == 'stopped' and status(workdir)['message'] == err.strip()
  assert f'going on from step {stop[1]}\n' in end(job, workdir)
  assert summary(workdir) == summary(finished[0]) and rows(workdir) == rows(finished[0])
  assert arrays(workdir) == arrays(finished[0])
  assert not list((workdir / 'checkpoints').glob('.*'))


@pytest.mark.slow
def test_20_kills_at_any_moment(finished, job, tmp_path):
  """At random times, so also while it imports, compiles, saves and writes its report."""
  workdir, rng, killed = tmp_path / 'run', np.random.default_rng(time.time_ns()), 0
  took = time.monotonic()
  end(job, tmp_path / 'whole')
  took = time.monotonic() - took
  assert_same_run(tmp_path / 'whole', finished[0])
  while killed < 20:
    process = job(workdir)
    try:
      process.communicate(timeout=rng.uniform(0.2, 1) * took)
    except subprocess.TimeoutExpired:
      process.kill()
      process.communicate()
      killed += 1
    if (workdir / 'summary.json').exists():
      assert_same_run(workdir, finished[0])
      workdir = tmp_path / f'run{killed}'
  end(job, workdir)
  assert_same_run(workdir, finished[0])


def test_nan_names_the_stream_and_keeps_the_last_good_checkpoint(job, tmp_path):
  workdir = tmp_path / 'run'
  process = job(workdir, '--config.streams.E2.optimizer=sgd', '--config.streams.E2.lr=10',
                '--config.control.weights.mse=1e30')
  _, err = process.communicate(timeout=200)
  assert process.returncode == 1
  assert re.fullmatch(r'error: step \d+: stream E2 became nan or infinite; no checkpoint was saved before it; lower '
                      r'the lr of that stream in a new --workdir\n', err)
  assert status(workdir)['state'] == 'failed' and status(workdir)['message'] == err.strip()
  assert not (workdir / 'summary.json').exists()


def test_a_live_run_follows_requests_and_holds_its_workdir(job, command, tmp_path, capsys):
  workdir = tmp_path / 'run'

  def ask(**request):
    write_atomic(workdir / 'requests.json', json.dumps(request))  # the run may be reading it

  def answered(number):
    return lambda: any(row.get('request', {}).get('id') == number for row in rows(workdir))

  process = job(workdir, '--config.steps.total=1000000', '--config.control.policy=constant')
  try:
    assert wait_for(process, reached(workdir, 4))
    ask(id=1, targets={'kld': 5, 'mse': 0.001})
    assert wait_for(process, answered(1)) and wait_for(process, reached(workdir, rows(workdir)[-1]['step'] + 8))
    ask(id=2, pause=True)
    assert wait_for(process, lambda: status(workdir)['state'] == 'paused')
    before, beat = rows(workdir), status(workdir)['updated']
    assert command(f'--workdir={workdir}', '--config.steps.total=1000000', '--config.control.policy=constant') == 2
    assert re.fullmatch(rf'error: {workdir}: another run is at work here \(process {process.pid} on .*\); wait.*\n',
                        capsys.readouterr().err)
    assert wait_for(process, lambda: status(workdir)['updated'] > beat + 1.5)  # alive, though it does nothing
    assert rows(workdir) == before
    ask(id=3)
    assert wait_for(process, reached(workdir, before[-1]['step'] + 4)) and status(workdir)['state'] == 'running'
    ask(id=4, stop=True)
    _, err = process.communicate(timeout=100)
  finally:
    process.kill()
  assert process.returncode == 3 and re.fullmatch(r'stopped at step \d+ of 1000000, saved; the same.*\n', err)
  requests = {row['request']['id']: row['step'] for row in rows(workdir) if 'request' in row}
  assert sorted(requests) == [1, 2, 3, 4]
  for row in rows(workdir):
    if 'request' not in row:
      expected = 5 if row['step'] > requests[1] else 16
      assert row['target/kld'] == expected
      assert (row['target/mse'] == pytest.approx(0.001)) == (expected == 5)


@pytest.mark.slow
def test_streamed_photos_give_the_same_run(finished, job, tmp_path):
  process = job(tmp_path / 'run', '--config.data.resident_mb=0')
  out, err = process.communicate(timeout=300)
  assert process.returncode == 0, err
  assert 'MB of photos are streamed (data.resident_mb = 0)' in out
  assert rows(tmp_path / 'run') == rows(finished[0])
  assert arrays(tmp_path / 'run') == arrays(finished[0])


@pytest.mark.slow
@pytest.mark.parametrize(('config', 'arguments'), [
  ('configs/vae_joint.py:tiny', []), ('configs/vae_partition.py:tiny', []),
  ('configs/vae_split.py:tiny', ['--config.data.channels=3', '--config.dtype=bfloat16', '--config.model.blocks=1']),
  ('configs/vae_split.py:tiny', ['--config.data.augment.shift=3', '--config.data.augment.flip_horizontal=true',
                                 '--config.control.policy=dual', '--config.data.few_shot=7']),
])
def test_other_jobs_end_too(job, tmp_path, config, arguments):
  process = job(tmp_path / 'run', *arguments, config=config)
  _, err = process.communicate(timeout=300)
  assert process.returncode == 0, err
  found = rows(tmp_path / 'run')
  # Joint training lowers the sum of half the squared errors of 32 x 32 pixels and the KLD, not the MSE at any moment.
  kld = 1 if 'joint' in config else 0
  first, last = (512 * row['train/mse'] + kld * row['train/kld'] for row in (found[0], found[-1]))
  assert last < first and summary(tmp_path / 'run')['steps'] == 40
