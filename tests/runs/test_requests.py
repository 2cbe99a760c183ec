"""Requests apply once, and malformed ones are ignored."""

import pytest

from defect_jax.runs.folder import Workdir


def test_requests_apply_once(tmp_path):
  workdir = Workdir(tmp_path)
  assert workdir.read_request() is None
  workdir.requests_json.write_text('{"id": 2, "targets": {"kld": 21}}')
  assert workdir.read_request(1) == {'id': 2, 'pause': False, 'stop': False, 'targets': {'kld': 21}}
  assert workdir.read_request(2) is None
  workdir.requests_json.write_text('{"id": 3, "pause": true, "stop": true, "targets": {}}')
  assert workdir.read_request(2) == {'id': 3, 'pause': True, 'stop': True, 'targets': {}}


@pytest.mark.parametrize('text', [
  '{"id": 2147483648}', '{"id": -1}', '{"id": 3, "targets": {"kld": 1e31}}',
  '{"id": 3, "targets": {"mse": 1' + '0' * 400 + '}}',
  '', '{"id": 3', '[]', '{"pause": true}', '{"id": "3"}', '{"id": true}', '{"id": 3, "stop": 1}', '\xff',
  '{"id": 3, "targets": {"kld": NaN}}', '{"id": 3, "targets": {"kld": 0}}', '{"id": 3, "targets": {"mse": "1"}}',
  '{"id": 3, "targets": {"ssim": 1}}', '{"id": 3, "targets": null}', '{"id": 3, "stopp": true}', '[' * 100000,
])
def test_malformed_requests_are_ignored_with_one_warning(tmp_path, monkeypatch, text):
  warnings = []
  monkeypatch.setattr('defect_jax.runs.requests.logging.warning', lambda *a: warnings.append(a[0] % a[1:]))
  workdir = Workdir(tmp_path)
  workdir.requests_json.write_text(text, encoding='latin-1')
  assert workdir.read_request() is None
  assert workdir.read_request() is None
  assert len(warnings) == 1
  assert 'requests.json is ignored' in warnings[0]
  workdir.requests_json.write_text('{"id": 3}')
  assert workdir.read_request()['id'] == 3


def test_a_folder_under_the_name_of_requests_is_ignored(tmp_path):
  workdir = Workdir(tmp_path)
  workdir.requests_json.mkdir()
  assert workdir.read_request() is None


def test_targets_are_of_any_loss_that_the_run_has_a_target_for(tmp_path):
  workdir = Workdir(tmp_path)
  workdir.requests_json.write_text('{"id": 4, "targets": {"lpips": 0.5}}')
  assert workdir.read_request(3)['targets'] == {'lpips': 0.5}
  assert workdir.read_request(3, losses={'kld', 'mse'}) is None
  workdir.requests_json.write_text('{"id": 4, "targets": {"own": 2}}')
  assert workdir.read_request(3) is None
  assert workdir.read_request(3, losses={'own'})['targets'] == {'own': 2}
