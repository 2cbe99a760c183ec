"""The table of targets, and that each picture has a row per target."""

from defect_jax.sweeps import local
from experiments import choosing_targets as study


def test_a_row_per_target_with_dashes_for_what_is_not_known():
  summary = {'steps_to_targets': None, 'detail_kept': 0.456, 'detail_kept_photo': None, 'sample_distance': 0.7,
             'known_ratio': 12.34}
  table = study.table({(study.MSE, 0.015): summary, (study.KLD, 16.0): summary | {'steps_to_targets': 300}})
  assert table.rows == [['MSE 1.5 % of the variance', 'no', '0.46', '–', '0.70', '12.3'],
                        ['KLD 16 nats', 'yes', '0.46', '–', '0.70', '12.3']]


def test_the_pictures_have_a_row_per_target(tmp_path, monkeypatch):
  monkeypatch.setattr(study, 'VALUES', {study.MSE: (0.3,), study.KLD: (16.0,)})
  summaries = study.study(tmp_path / 'runs', tiny=True).run(local.run)
  assert [*summaries] == [(study.MSE, 0.3), (study.KLD, 16.0)]
  (tmp_path / 'docs').mkdir()
  study.draw(tmp_path / 'runs', [tmp_path / 'docs'])
  drawn = study.picture(study.MSE, {0.3: tmp_path / 'runs' / 'mse_0.3'})
  assert drawn.shape[0] == 2 * 96 + 2 and drawn.shape[2] == 3  # photos above their reconstructions, and a white line
  assert sorted(path.name for path in (tmp_path / 'docs').iterdir()) == ['targets_kld.png', 'targets_mse.png']
