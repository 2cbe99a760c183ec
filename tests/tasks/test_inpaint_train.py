"""Training an inpainting pipeline from command to pipeline: killed and resumed, gone on from, used by inpaint."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from PIL import Image

from configs import inpaint_train
from defect_jax import main
from defect_jax.data import dataset, parts
from defect_jax.diffusion import examples, lora
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import inpaint_train as task

ROOT = Path(__file__).resolve().parents[2]
# Of this machine, not of the run.
MEASURED = ('seconds', 'compile_seconds', 'images_per_second', 'peak_memory_mb', 'answers_seconds')


def write(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def names(folder, part, count):
  every = (f'{folder}/{number:03d}.png' for number in range(10000))
  return [name for name in every if parts.part_of(name) == part][:count]


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
  """Good photos, and dents with masks."""
  root, rng = tmp_path_factory.mktemp('photos'), np.random.default_rng(0)
  for label, counts in (('good', {'pool': 6, 'dev': 3}), ('dent', {'pool': 5, 'dev': 3}), ('lone', {'pool': 1})):
    for part, count in counts.items():
      for name in names(f'test/{label}', part, count):
        photo, mask = np.uint8(rng.integers(90, 130, (72, 80))), np.zeros((72, 80), np.uint8)
        if label != 'good':
          top, left = rng.integers(8, 50, 2)
          mask[top:top + 12, left:left + 10] = 255
          photo[mask > 0] = 20
          write(root / name.replace('test', 'ground_truth').replace('.png', '_mask.png'), mask)
        write(root / name, photo)
  return root


def arguments(photos, workdir, *more):
  return ['--config=configs/inpaint_train.py:tiny', f'--workdir={workdir}', '--config.data.source=folder',
          f'--config.data.path={photos}', '--config.data.split=hash', '--config.data.classes=dent,good',
          '--config.data.areas=16',
          '--config.steps.total=12', '--config.steps.eval=6', '--config.steps.checkpoint=3', '--config.steps.log=2',
          '--config.autoencoder.steps.total=6', '--config.autoencoder.steps.checkpoint=3',
          '--config.measure.images=4', '--config.measure.batch=4', *more]


@pytest.fixture
def command(photos, cache, monkeypatch, tmp_path):
  """Runs the job in this process: (workdir name, further arguments) -> exit status."""
  monkeypatch.chdir(tmp_path)
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(name, *more):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(arguments(photos, tmp_path / name, *more))

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


def test_what_a_training_comes_from_is_known_again():
  def digest(train=0, dev=1, weights='c0ffee'):
    sets = (None if level is None else dataset.InMemory(np.full((2, 4, 4, 3), level, np.uint8), ['dent', 'good'],
                                                        masks=np.ones((2, 4, 4), bool)) for level in (train, dev))
    return task.digest(*sets, weights)

  assert digest() == digest()
  assert len({digest(), digest(train=1), digest(dev=2), digest(dev=None), digest(weights=''), digest(weights='b')}) == 6


def test_good_areas_are_masked_as_defects_are(photos, cache):
  config = inpaint_train.get_config('tiny')
  config.data.source, config.data.path, config.data.classes = 'folder', str(photos), ('dent', 'good')
  areas = examples.load(config.data.to_dict(), config.masks.to_dict(), 0, 100, part='pool', few_shot=0, count=16,
                        flip=True)
  good, dents = examples.good(areas), examples.defects(areas)
  assert len(good) == len(dents) == 8
  assert all(any(np.array_equal(mask, of) for of in dents.masks) for mask in good.masks)
  assert len(np.unique(good.masks, axis=0)) > 1
  # A dent, the only dark thing, is all made anew, wherever it lies.
  assert all((image[~mask] > 60).all() for image, mask in zip(dents.pixels, dents.masks, strict=True))


@pytest.mark.parametrize(('more', 'reason'), [
  (['--config.data.classes=lone,good'], '1 photo of lone in part pool'),
  (['--config.data.classes=good'], 'data.classes: names no defect'),
  (['--config.data.classes=dint,good'], "no class 'dint'"),
  (['--config.masks.size=0.5,0.1'], 'masks.size'), (['--config.masks.dilate=5,1'], 'masks.dilate'),
  (['--config.prompts=a {thing}'], 'prompts: '), (['--config.data.size=33'], 'data.size = 33'),
  (['--config.model.unet.widths=48,64'], 'must be multiples of 32'),
  (['--config.model.unet.attention=true'], 'model.unet.attention'),
  (['--config.optimizer.accumulate=3'], 'optimizer.accumulate = 3'),
  (['--config.optimizer.warmup=12'], 'optimizer.warmup = 12'), (['--config.batch=2'], 'batch = 2'),
  (['--config.optimizer.lr=-1'], 'optimizer.lr'), (['--config.weights=nowhere'], 'there is no folder nowhere'),
  (['--config.tune.method=lora'], 'tune: is about given weights'),
  (['--config.data.path=void'], 'void does not exist'), (['--config.data.context=4,1'], 'data.context')])
def test_mistakes_are_one_line_and_leave_nothing(command, tmp_path, capsys, more, reason):
  assert command('run', *more) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ') and reason in err and err.count('\n') == 1, err
  assert not (tmp_path / 'run').exists()


def start(photos, workdir, env, *more):
  return subprocess.Popen([sys.executable, '-m', 'defect_jax.main', *arguments(photos, workdir, *more)], cwd=ROOT,
                          env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process):
  out, err = process.communicate(timeout=600)
  assert process.returncode == 0, err
  return out


@pytest.fixture(scope='module')
def finished(photos, run_env, tmp_path_factory):
  """(workdir, stdout) of the small job, never interrupted."""
  workdir = tmp_path_factory.mktemp('finished') / 'run'
  return workdir, ended(start(photos, workdir, run_env))


def files(root):
  return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}


def summary(workdir):
  def kept(values):
    return {key: kept(value) if isinstance(value, dict) else value for key, value in values.items()
            if key not in MEASURED}
  return kept(json.loads((workdir / 'summary.json').read_text()))


@pytest.mark.slow
def test_a_run_ends_with_a_pipeline_a_page_and_a_summary(finished, check_outputs):
  workdir, out = finished
  check_outputs(workdir)
  assert '16 areas of 32 px (8 dent, 8 good), part pool; 6 held out' in out
  found = summary(workdir)
  assert found['kid_after'] is None  # 3 real defects
  assert found['dev_loss'] < found['dev_loss_before']
  rows = Workdir(workdir).read_metrics()
  assert {f'train/loss_t{part}' for part in range(4)} < rows[0].keys() and 'eval/loss' in rows[-1]
  assert sorted(path.name for path in (workdir / 'samples').iterdir()) == ['12_inpainted.png', '6_inpainted.png']
  page = (workdir / 'report.html').read_text()
  assert 'alt="contact sheet 1"' in page and 'Realism was not measured' in page


@pytest.mark.slow
@pytest.mark.parametrize('moment', ['vae/checkpoints/3', 'checkpoints/3', 'checkpoints/6'])
def test_killed_it_ends_bit_for_bit_as_if_never(finished, photos, run_env, tmp_path, moment):
  process = start(photos, tmp_path / 'run', run_env)
  while process.poll() is None and not (tmp_path / 'run' / moment).is_dir():
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL
  process.communicate()
  assert 'going on from step' in ended(start(photos, tmp_path / 'run', run_env))
  (resumed, whole) = (files(root / 'pipeline') for root in (tmp_path / 'run', finished[0]))
  assert all(resumed[name] == whole[name] for name in whole if name != 'training.json')  # which tells seconds
  assert files(tmp_path / 'run/samples') == files(finished[0] / 'samples')
  assert summary(tmp_path / 'run') == summary(finished[0])


@pytest.mark.slow
def test_going_on_from_it_moves_what_was_asked_for(finished, photos, run_env, tmp_path):
  weights = f'--config.weights={finished[0]}/pipeline'
  ended(start(photos, tmp_path / 'full', run_env, weights))
  before, after = (files(root / 'pipeline') for root in (finished[0], tmp_path / 'full'))
  changed = {name for name in before if before[name] != after[name]}
  # transformers writes tokens that it has read in a longer form.
  assert changed - {'tokenizer/special_tokens_map.json'} == {'unet/diffusion_flax_model.msgpack', 'training.json'}
  ended(start(photos, tmp_path / 'lora', run_env, weights, '--config.tune.method=lora', '--config.optimizer.again=true',
              '--config.optimizer.accumulate=2'))
  assert {path.name for path in (tmp_path / 'lora/lora').iterdir()} == {'classes.json', lora.FILE, 'training.json'}
  assert not (tmp_path / 'lora/pipeline').exists()
  made = subprocess.run([sys.executable, '-m', 'defect_jax.main', '--config=configs/inpaint.py:tiny', weights,
                         f'--config.lora={tmp_path}/lora/lora', f'--config.photos={photos}', '--config.defects=dent',
                         f'--workdir={tmp_path}/made'], cwd=ROOT, env=run_env, text=True, capture_output=True)
  assert made.returncode == 0, made.stderr
  lines = (tmp_path / 'made/set/manifest.jsonl').read_text().splitlines()
  assert len(lines) == 8 and json.loads(lines[0])['model'].startswith('pipeline ')


@pytest.mark.slow
def test_of_candidates_one_is_kept_and_the_manifest_says_why(finished, photos, run_env, tmp_path, check_outputs):
  made = subprocess.run([sys.executable, '-m', 'defect_jax.main', '--config=configs/inpaint.py:tiny',
                         f'--config.weights={finished[0]}/pipeline', f'--config.photos={photos}',
                         '--config.defects=dent', '--config.masks.kind=real', '--config.filter.candidates=3',
                         '--config.geometry.target=32,32', f'--workdir={tmp_path}/made'], cwd=ROOT, env=run_env,
                        text=True, capture_output=True)
  assert made.returncode == 0, made.stderr
  check_outputs(tmp_path / 'made')
  lines = [json.loads(line) for line in (tmp_path / 'made/set/manifest.jsonl').read_text().splitlines()]
  assert {line['filter']['candidates'] for line in lines} == {3} and {line['class'] for line in lines} == {'dent'}
  assert {line['filter']['reads_as'] for line in lines} <= {'dent', 'good'}


@pytest.mark.slow
def test_a_rate_that_diverges_is_stopped_and_the_last_good_step_kept(photos, run_env, tmp_path):
  process = start(photos, tmp_path / 'run', run_env, '--config.optimizer.lr=1000', '--config.optimizer.clip=1e30',
                  '--config.steps.total=60')
  _, err = process.communicate(timeout=600)
  assert process.returncode == 1 and 'became nan or infinite' in err and 'is kept' in err
  assert json.loads((tmp_path / 'run/status.json').read_text())['state'] == 'failed'
