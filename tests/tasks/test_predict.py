"""The task predict: a VAE alone scores photos, one photo will do, rows are kept while it is stopped."""

import contextlib
import hashlib
import json
import re
import shutil
import signal
import types

import numpy as np
import pytest
from absl import flags
from PIL import Image
from workdirs import rows_of, summary_of

from defect_jax import main
from defect_jax.errors import UserError
from defect_jax.runs import predictions
from defect_jax.runs.folder import Workdir
from defect_jax.tasks import predict
from defect_jax.trained import base


@pytest.fixture
def scored():
  """Runs the task in this process: (workdir, run, photos, further arguments) -> exit status."""
  handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

  def call(workdir, run, photos, *arguments):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(['--config=configs/predict.py', f'--workdir={workdir}', f'--config.run={run}',
                      f'--config.photos={photos}', *arguments])

  yield call
  for number, handler in handlers.items():
    signal.signal(number, handler)


@pytest.fixture
def stopped_by(monkeypatch):
  """A context in which a job is asked to stop once it has written its first line of metrics."""
  append = Workdir.append_metrics

  def stopping(workdir, row):
    workdir.stop_requested = True
    append(workdir, row)

  @contextlib.contextmanager
  def context():
    with monkeypatch.context() as patch:
      patch.setattr(Workdir, 'append_metrics', stopping)
      yield
  return context


def test_a_vae_alone_scores_photos_by_a_threshold_of_the_users(finished, scored, photos, tmp_path, check_outputs):
  assert scored(tmp_path / 'run', finished[0], photos, '--config.threshold.value=0.05') == 0
  check_outputs(tmp_path / 'run')
  rows = rows_of(tmp_path / 'run')
  assert rows.keys() == {path.relative_to(photos).as_posix() for path in photos.rglob('*.png')}
  for row in rows.values():
    assert row['verdict'] == ('ng' if float(row['score']) > 0.05 else 'ok')
    assert (tmp_path / 'run' / row['heatmap']).is_file()
  summary = summary_of(tmp_path / 'run')
  assert (summary['threshold'], summary['threshold_source'], summary['score']) == (0.05, 'set by hand', 'residual_mean')
  assert summary['ok'] + summary['ng'] == summary['photos'] == len(rows)
  file = next(iter(rows))
  assert scored(tmp_path / 'one', finished[0], photos / file, '--config.threshold.value=0.05') == 0
  (row,) = rows_of(tmp_path / 'one').values()
  assert row['score'] == rows[file]['score'] and row['file'] == file.rpartition('/')[2]


def test_a_prediction_that_was_stopped_goes_on(finished, scored, photos, tmp_path, stopped_by):
  arguments = finished[0], photos, '--config.threshold.value=0.05', '--config.batch=4', '--config.heatmaps=False'
  with stopped_by():
    assert scored(tmp_path / 'run', *arguments) == 3
  model, *kept = (tmp_path / 'run/predictions.part.csv').read_text().splitlines()
  assert model == base.open(finished[0]).digest and 1 <= len(kept) < 16
  marked = re.sub(',(ok|ng),', ',kept,', kept[0])
  (tmp_path / 'run/predictions.part.csv').write_text('\n'.join([model, marked, 'half a li']))
  assert scored(tmp_path / 'run', *arguments) == scored(tmp_path / 'whole', *arguments) == 0
  rows, whole = rows_of(tmp_path / 'run'), rows_of(tmp_path / 'whole')
  file = kept[0].split(',')[1]
  assert rows.pop(file)['verdict'] == 'kept' and whole.pop(file) and rows == whole


def test_a_run_that_scores_no_photos_says_so(scored, photos, tmp_path, assert_refused, monkeypatch):
  class Maker:
    threshold = None

    @property
    def tiling(self):
      raise UserError('run: makes images')

  monkeypatch.setattr(base, 'read_run', lambda root, key, tasks: (Workdir(root), types.SimpleNamespace(task='maker')))
  monkeypatch.setattr(base, 'PREDICTORS', {'maker': lambda root, *, key: Maker()})
  code = scored(tmp_path / 'run', 'somewhere', photos, '--config.threshold.value=1')
  assert_refused(code, tmp_path / 'run', 'run: makes images')


def test_refusals(finished, scored, photos, tmp_path, assert_refused):
  run, workdir = finished[0], tmp_path / 'run'
  assert_refused(scored(workdir, run, photos), workdir, 'threshold.value: is not set')
  assert_refused(scored(workdir, 'nowhere', photos), workdir, 'run: nowhere holds no run')
  assert_refused(scored(workdir, run, tmp_path / 'none'), workdir, 'none is not a folder or photo')
  shutil.copytree(run, tmp_path / 'other')
  config = (tmp_path / 'other/config.json').read_text()
  (tmp_path / 'other/config.json').write_text(config.replace('"task": "vae"', '"task": "generate"'))
  assert_refused(scored(workdir, tmp_path / 'other', photos), workdir, "is a run of the task 'generate'")


def test_rows_of_another_model_threshold_or_photo_are_not_kept(tmp_path):
  workdir, photos = Workdir(tmp_path / 'run'), {name: tmp_path / name for name in ('a', 'b', 'c')}
  for path in photos.values():
    path.write_bytes(b'1')
  workdir.root.mkdir()
  with predictions.Predictions(workdir, photos, 'model', 0.5) as table:
    table.add(predictions.row('a', 0.25, 0.5))
    table.add(predictions.row('b', 0.75, 0.5, heatmap='x,"y"'))
    table.add(predictions.error_row('c', 0.5, 'is empty'))
  again = predictions.Predictions(workdir, photos, 'model', 0.5)
  assert [again.rows[file]['verdict'] for file in ('a', 'b')] == ['ok', 'ng'] and again.rows.keys() == {'a', 'b'}
  assert again.rows['b']['heatmap'] == 'x,"y"'
  photos['a'].write_bytes(b'12')
  assert predictions.Predictions(workdir, photos, 'model', 0.5).rows.keys() == {'b'}
  assert not predictions.Predictions(workdir, photos, 'model', 0.25).rows
  assert not predictions.Predictions(workdir, photos, 'other', 0.5).rows


def test_the_run_itself_below_its_photos_is_not_predicted(tmp_path, photos):
  shutil.copytree(photos, tmp_path / 'photos')
  workdir = Workdir(tmp_path / 'photos/run')
  shutil.copytree(photos, workdir.root / 'heatmaps')
  files = [record.file for record in predict.list_photos(str(tmp_path / 'photos'), workdir)]
  assert files == sorted(path.relative_to(photos).as_posix() for path in photos.rglob('*.png'))


def test_photos_unlike_those_trained_on_and_those_trained_on_are_named(finished, scored, photos, tmp_path, capsys):
  kept = json.loads((finished[0] / 'photos.json').read_text())
  (dark, wide), folder = sorted(photos.rglob('*.png'))[:2], tmp_path / 'photos'
  folder.mkdir()
  trained = next(path for path in photos.rglob('*.png')
                 if hashlib.sha256(path.read_bytes()).hexdigest() in kept['sha256'])
  shutil.copy(trained, folder / 'trained.png')
  Image.fromarray(np.asarray(Image.open(dark)) // 16).save(folder / 'dark.png')
  Image.fromarray(np.tile(np.asarray(Image.open(wide)), (1, 4))).save(folder / 'wide.jpg.png')
  shutil.copy(folder / 'trained.png', folder / 'wide.jpg')
  (folder / 'phone.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(40))
  assert scored(tmp_path / 'run', finished[0], folder, '--config.threshold.value=0.05') == 0
  rows = rows_of(tmp_path / 'run')
  assert {name: row['trained_on'] for name, row in rows.items()} == {
      'trained.png': '1', 'wide.jpg': '1', 'dark.png': '0', 'wide.jpg.png': '0', 'phone.heic': ''}
  assert rows['trained.png']['note'] == '' and 'darker than any trained on' in rows['dark.png']['note']
  assert 'another shape than those trained on' in rows['wide.jpg.png']['note']
  assert rows['phone.heic']['verdict'] == 'error' and 'is HEIC, which is not read' in rows['phone.heic']['reason']
  assert [rows[name]['heatmap'] for name in ('trained.png', 'wide.jpg', 'wide.jpg.png')] == [
      'heatmaps/trained.png', 'heatmaps/wide.jpg.png', 'heatmaps/wide.jpg.png.png']
  summary, said = summary_of(tmp_path / 'run'), capsys.readouterr().out
  assert summary['trained_on'] == 2 and summary['unlike'] == 2 and summary['skipped'] == 1
  assert '2 of the photos were trained on (' in said and '2 of the photos are unlike those trained on' in said
  assert 'Of the 2 others ' in said  # the one that cannot be read is not counted
  assert 'Unlike those trained on' in (tmp_path / 'run/report.html').read_text()


def test_masks_among_the_photos_are_left_out_with_a_line(tmp_path, photos, capsys):
  folder = tmp_path / 'photos'
  (folder / 'ground_truth/crack').mkdir(parents=True)
  for name in ('10000.png', '10000_GT.png', 'b_mask.png', 'ground_truth/crack/10000_mask.png'):
    shutil.copy(next(photos.rglob('*.png')), folder / name)
  files = [record.file for record in predict.list_photos(str(folder), Workdir(tmp_path / 'run'))]
  assert files == ['10000.png', 'b_mask.png']  # of b_mask.png there is no photo
  assert capsys.readouterr().out == 'note: 2 files are left out as masks of photos, such as 10000_GT.png\n'


def test_a_run_that_cannot_be_used_is_named_where_it_judges(finished, scored, photos, tmp_path, capsys):
  for usable in (False, True):
    shutil.copytree(finished[0], tmp_path / f'vae_{usable}')
    path = tmp_path / f'vae_{usable}/summary.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'usable': usable, 'known_ratio': 33., 'known_how':
                                                               'held_out'}))
    capsys.readouterr()
    assert scored(tmp_path / f'run_{usable}', path.parent, photos, '--config.threshold.value=0.05',
                  '--config.heatmaps=False') == 0
    said = f'{path.parent}, which judges these photos, cannot be used as it is.'
    told, page = capsys.readouterr().out, (tmp_path / f'run_{usable}/report.html').read_text()
    assert (said in told, said in page) == (not usable, not usable)
  assert summary_of(tmp_path / 'run_False')['reasons'] == ['run_not_usable']
  assert summary_of(tmp_path / 'run_True')['usable'] is None
  assert 'It knows its photos by heart' in (tmp_path / 'run_False/report.html').read_text()
