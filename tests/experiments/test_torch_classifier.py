"""The PyTorch peer computes what our step computes: the logits, and the losses of some steps of AdamW."""

import jax
import numpy as np
import pytest

from configs import classifier
from defect_jax.models import cnn
from defect_jax.training import classifier as training
from experiments import bench_classifier

torch = pytest.importorskip('torch', reason='PyTorch, the extra `torch`, is not installed')
torch_classifier = pytest.importorskip('experiments.torch_classifier')
torch.set_num_threads(1)  # tiny tensors; idle threads that spin would slow down whatever runs beside


def test_logits_agree_on_odd_sides_and_several_blocks():
  model = cnn.Classifier('resnet', 3, (21, 21, 3), (8, 12), 2)
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32) * 0.3,
                        jax.eval_shape(model.init, jax.random.key(0)))
  images = rng.uniform(size=(4, 21, 21, 3)).astype(np.float32)
  normalizer = training.normalizer_of('resnet', images)
  scaled = (images - np.asarray(normalizer.mean)) / np.asarray(normalizer.std)
  theirs = torch_classifier.Classifier(model).load(params)(torch.tensor(scaled.transpose(0, 3, 1, 2).copy()))
  ours = np.asarray(model.logits(params, normalizer, images))
  np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-4 * np.abs(ours).max())


def test_five_steps_come_to_the_same_losses():
  config = classifier.get_config('tiny')
  config.optimizer.update(lr=0.01, weight_decay=10.)
  config.batch, shape = 6, (32, 32, 1)
  model = cnn.Classifier('resnet', 2, shape, (4, 8), 1)
  rng = np.random.default_rng(0)
  images, labels = rng.uniform(size=(10, *shape)).astype(np.float32), np.int32([0, 1] * 5)
  params, normalizer = jax.device_get(model.init(jax.random.key(0))), training.normalizer_of('resnet', images)
  shared = config, model, params, normalizer, images, labels
  sides = bench_classifier.Ours(*shared), bench_classifier.Peer(*shared, torch.device('cpu'), channels_last=False)
  for side in sides:
    side(5)
  ours, theirs = (side.losses for side in sides)
  assert ours == pytest.approx(theirs, rel=1e-3) and len(ours) == 5
  assert abs(ours[-1] - ours[0]) > 0.05  # it moved, so the optimizers are compared too
