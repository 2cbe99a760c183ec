"""Key tables, which import no JAX, allow just the names that the code has."""

import subprocess
import sys

import pytest

from defect_jax import detectors, schema
from defect_jax.augmentation import samplers
from defect_jax.data import annotations, regions
from defect_jax.data.sources import elpv
from defect_jax.diffusion import finetune, geometry, masks, schedulers
from defect_jax.models import cnn, vae
from defect_jax.registry import DETECTORS, KEYS
from defect_jax.training import control, routing


@pytest.mark.parametrize(('task', 'key', 'names'), [
    ('vae', 'data.cell_type', elpv.CELL_TYPES), ('vae', 'data.region', regions.REGIONS),
    ('vae', 'data.fit', regions.FITS), ('vae', 'data.masks', annotations.HOW),
    ('vae', 'model.activation', vae.ACTIVATIONS),
    ('vae', 'streams.E.optimizer', routing.OPTIMIZERS), ('vae', 'control.policy', control.POLICIES),
    ('generate', 'sampler.name', samplers.NAMES),
    ('classifier', 'model.kind', cnn.KINDS),
    ('inpaint', 'geometry.mode', geometry.MODES), ('inpaint', 'masks.kind', masks.KINDS),
    ('inpaint', 'sampler.name', schedulers.NAMES),
])
def test_choices_are_the_names_that_the_code_has(task, key, names):
  keys = schema.flat_keys(KEYS[task].table(), {'streams': {'E': {}}})
  rule = keys[key].rule
  assert getattr(rule, 'rule', rule).values == tuple(names)


def test_the_maps_of_a_detector_are_those_that_it_makes():
  assert [detectors.maps_of(kind) for kind in DETECTORS] == [tuple(DETECTORS[kind].MAPS) for kind in DETECTORS]


def test_a_batch_has_an_area_of_each_range_of_timesteps():
  assert KEYS['inpaint_train'].table()['batch'].rule.low == finetune.RANGES


@pytest.mark.parametrize('task', KEYS)
def test_defaults_are_allowed_and_every_key_says_what_it_is(task):
  table = KEYS[task].table()
  keys = schema.flat_keys(table, {})
  assert [name for name, key in keys.items() if not key.rule.allows(key.default)] == []
  assert {name: key for name, key in keys.items() if not key.text} == {}
  assert schema.defaults(table).task == task


def test_keys_are_read_without_numpy_and_jax():
  code = ('import sys; from defect_jax.registry import KEYS; [KEYS[name].table() for name in KEYS]; '
          'print([m for m in ("numpy", "jax", "tensorflow") if m in sys.modules])')
  assert subprocess.run([sys.executable, '-c', code], text=True, capture_output=True).stdout == '[]\n'


@pytest.mark.parametrize(('arguments', 'line'), [
    (['configs/inpaint.py', '--config.part=all'], "part = 'all': must be one of pool, dev"),
    (['configs/inpaint.py', '--config.prompts={x}'], "prompts: '{x}' is no template"),
    (['configs/inpaint.py', '--config.masks.size=0.4,0.1'], 'masks.size = (0.4, 0.1): give two numbers'),
    (['configs/inpaint_train.py', '--config.optimizer.warmup=2600'], 'optimizer.warmup = 2600: must be below'),
    (['configs/vae_split.py', '--config.targets.mse_of_variance=none'], 'targets.mse, targets.mse_of_variance: one'),
    (['configs/vae_perceptual.py', '--config.targets.lpips=none'], 'targets.lpips: is needed'),
    (['configs/anomaly.py', '--config.train.targets.mse_of_variance=none'], 'targets.mse, targets.mse_of_variance'),
    (['configs/anomaly.py', '--config.mode=predict'], 'photos: is not set'),
    (['configs/classifier.py', '--config.mode=predict'], 'classifier: is not set'),
    (['configs/predict.py'], 'run: is not set'),
    (['configs/generate.py'], 'vae: is not set'),
])
def test_a_mistake_is_refused_before_anything_heavy_is_imported(tmp_path, arguments, line):
  code = ('import sys; from defect_jax import main; status = main.main(sys.argv[1:]); '
          'print(status, [m for m in ("numpy", "jax", "tensorflow") if m in sys.modules])')
  done = subprocess.run([sys.executable, '-c', code, f'--config={arguments[0]}', *arguments[1:],
                         f'--workdir={tmp_path / "run"}'], text=True, capture_output=True)
  assert done.stdout == '2 []\n'
  assert done.stderr.startswith(f'error: {line}')
  assert list(tmp_path.iterdir()) == []
