"""What version 82f0636 made is opened by this one: runs, an image set, predictions, and a run that had not ended.

version_before.tar.xz holds tiny runs of that version on the photos of made_photos.make_dents, by the settings in their
config.json. Where they are gone on with, the figures stand here as that version itself came to them.
"""

import csv
import json
import tarfile

import numpy as np
import pytest
from absl import flags
from made_photos import make_dents
from workdirs import summary_of

from defect_jax import main
from defect_jax.imagesets import manifest, writer

SMALL = ('--config.data.source=folder', '--config.data.path=photos', '--config.data.defects=dent',
         '--config.model.widths=4,8', '--config.model.latent=4', '--config.steps.log=2')
TO_40 = ('--config=configs/vae_split.py:tiny', '--workdir=old/vae_stopped', *SMALL, '--config.steps.total=40',
         '--config.steps.checkpoint=20000', '--config.steps.eval=20000')


@pytest.fixture
def before(tmp_path, monkeypatch):
  """Runs main in a folder with the runs and the photos that they were made of."""
  make_dents(tmp_path / 'photos')
  with tarfile.open(__file__.replace('test_version_before.py', 'version_before.tar.xz')) as archive:
    archive.extractall(tmp_path, filter='data')
  monkeypatch.chdir(tmp_path)

  def call(*arguments):
    flags.FLAGS.unparse_flags()
    flags.FLAGS['workdir'].value = None
    return main.main(list(arguments))
  return call


def scores_of(path):
  with open(path, newline='') as file:
    return {row['file']: (float(row['score']), float(row['threshold']), row['verdict']) for row in csv.DictReader(file)}


def assert_same_scores(one, other):
  assert one.keys() == other.keys()
  for file, (score, threshold, verdict) in one.items():
    np.testing.assert_allclose((score, threshold), other[file][:2], rtol=1e-4)
    assert verdict == other[file][2]


@pytest.mark.parametrize(('config', 'key', 'kind'), [
    ('anomaly', 'vae', 'anomaly'), ('classifier', 'classifier', 'classifier')])
@pytest.mark.parametrize('by_predict', [False, True])
def test_a_run_predicts_what_it_predicted(before, tmp_path, config, key, kind, by_predict):
  arguments = (['--config=configs/predict.py', f'--config.run=old/{kind}'] if by_predict else
               [f'--config=configs/{config}.py:tiny', '--config.mode=predict', f'--config.{key}=old/{kind}'])
  assert before(*arguments, '--config.photos=photos/ng', '--config.heatmaps=false', '--workdir=again') == 0
  assert_same_scores(scores_of(tmp_path / f'old/{kind}_predicted/predictions.csv'),
                     scores_of(tmp_path / 'again/predictions.csv'))


def test_a_prediction_is_finished(before, capsys):
  assert before('--config=configs/classifier.py:tiny', '--config.mode=predict', '--config.classifier=old/classifier',
                '--config.photos=photos/ng', '--config.heatmaps=false', '--workdir=old/classifier_predicted') == 0
  assert 'finished already' in capsys.readouterr().out


def test_a_detector_is_measured_on_pasted_defects_without_training(before, capsys, tmp_path):
  was = json.loads((tmp_path / 'old/anomaly/summary.json').read_text())
  assert before('--config=configs/anomaly.py:tiny', '--workdir=old/anomaly', '--config.data.source=folder',
                '--config.data.path=photos', '--config.data.split=hash', '--config.data.fit=crop',
                '--config.score.features=false', '--config.train.model.widths=4,8', '--config.train.model.latent=4',
                '--config.train.steps.total=20', '--config.train.steps.eval=10', '--config.train.steps.checkpoint=10',
                '--config.measure.part=synthetic') == 0
  assert 'training a VAE' not in capsys.readouterr().out
  summary = summary_of(tmp_path / 'old/anomaly')
  assert summary['measured_on'] == 'pasted' and summary['threshold'] == pytest.approx(was['threshold'], rel=1e-4)
  assert json.loads((tmp_path / 'old/anomaly/measured/dev/summary.json').read_text()) == was


def test_a_vae_is_finished_and_takes_more_steps(before, capsys, tmp_path):
  more = ('--config=configs/vae_split.py:tiny', '--workdir=old/vae', *SMALL, '--config.steps.eval=10',
          '--config.steps.checkpoint=10')
  assert before(*more, '--config.steps.total=20') == 0
  assert 'finished already' in capsys.readouterr().out
  assert before(*more, '--config.steps.total=30') == 0
  assert 'going on from step 20' in capsys.readouterr().out
  assert summary_of(tmp_path / 'old/vae')['steps'] == 30


def test_a_stopped_run_goes_on_with_its_targets_and_its_photos(before, capsys, tmp_path):
  (tmp_path / 'old/vae_stopped/requests.json').unlink()
  assert before(*TO_40) == 0
  assert 'going on from step 26' in capsys.readouterr().out
  summary = summary_of(tmp_path / 'old/vae_stopped')
  assert (summary['kld_target'], summary['steps']) == (12.0, 40)
  # By one device of a machine with two CPUs; eight virtual devices add up in another order.
  np.testing.assert_allclose((summary['kld'], summary['mse']), (7.657914519309998, 0.006708577973768115), rtol=2e-2)
  assert summary['config_hash'] == 'c6ae58d42b70daab01281934858801227bb6b15c91a949aa80155a21c79d0aeb'


def test_a_stopped_run_refuses_other_photos(before, capsys, tmp_path):
  for path in (tmp_path / 'photos/ng/dent').glob('*5.png'):
    path.write_bytes((tmp_path / 'photos/ng/dent/000.png').read_bytes())
  assert before(*TO_40) == 2
  assert 'the photos' in capsys.readouterr().err


def test_a_made_set_is_read_and_made_to_its_end(before, capsys, tmp_path):
  made = manifest.read_manifest(tmp_path / 'old/generate/set')
  assert [image.index for image in made] == [0, 1, 2, 3]
  assert writer.read_image(tmp_path / 'old/generate/set' / made[0].file).shape == (32, 32, 1)
  arguments = ('--config=configs/generate.py:tiny', '--workdir=old/generate', '--config.vae=old/vae',
               '--config.count=4', '--config.sampler.name=posterior', '--config.sampler.candidates=1')
  assert before(*arguments) == 0
  assert 'finished already' in capsys.readouterr().out
  first = (tmp_path / 'old/generate/set' / made[0].file).read_bytes()
  (tmp_path / 'old/generate/summary.json').unlink()
  assert before(*arguments) == 0  # nothing is made anew: the VAE is known to be the same
  assert (tmp_path / 'old/generate/set' / made[0].file).read_bytes() == first
  assert json.loads((tmp_path / 'old/generate/summary.json').read_text())['images'] == 4


def test_predict_takes_the_runs_own_threshold_and_refuses_another_vae(before, capsys, tmp_path):
  config, detector = tmp_path / 'old/anomaly/config.json', tmp_path / 'old/anomaly/detector.json'
  values = json.loads(config.read_text())
  values['threshold']['value'] = 3.5
  config.write_text(json.dumps(values))
  arguments = ('--config=configs/predict.py', '--config.run=old/anomaly', '--config.photos=photos/ng/dent/000.png',
               '--config.heatmaps=false')
  assert before(*arguments, '--workdir=again') == 0
  assert {threshold for _, threshold, _ in scores_of(tmp_path / 'again/predictions.csv').values()} == {3.5}
  detector.write_text(json.dumps(json.loads(detector.read_text()) | {'network': 'another'}))
  assert before(*arguments, '--workdir=refused') == 2
  assert 'was trained anew since' in capsys.readouterr().err
  (tmp_path / 'old/vae/summary.json').unlink()
  assert before('--config=configs/predict.py', '--config.run=old/vae', '--config.photos=photos/ng', '--workdir=refused',
                '--config.threshold.value=1') == 2
  assert 'is not at its end' in capsys.readouterr().err
  assert before('--config=configs/predict.py', '--config.run=old/classifier', '--config.photos=photos/ng',
                '--workdir=refused', '--config.threshold.value=3.5') == 2
  assert 'is a probability' in capsys.readouterr().err and not (tmp_path / 'refused').exists()
