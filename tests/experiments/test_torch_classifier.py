"""The PyTorch peer computes what our step computes: the logits, and the losses of some steps of AdamW."""

import jax
import numpy as np
import pytest

from defect_jax.models import cnn
from defect_jax.tasks.classifier import learning

torch = pytest.importorskip('torch', reason='PyTorch, the extra `torch`, is not installed')
torch_classifier = pytest.importorskip('experiments.torch_classifier')
torch.set_num_threads(1)  # tiny tensors; idle threads that spin would slow down whatever runs beside


def test_logits_agree_on_odd_sides_and_several_blocks():
  model = cnn.Classifier('resnet', 3, (21, 21, 3), (8, 12), 2)
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32) * 0.3,
                        jax.eval_shape(model.init, jax.random.key(0)))
  images = rng.uniform(size=(4, 21, 21, 3)).astype(np.float32)
  standard = learning.standard_of('resnet', images)
  scaled = (images - np.asarray(standard.center)) / np.asarray(standard.scale)
  theirs = torch_classifier.Classifier(model).load(params)(torch.tensor(scaled.transpose(0, 3, 1, 2).copy()))
  ours = np.asarray(model.logits(params, standard, images))
  np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-4 * np.abs(ours).max())
