"""The loss `lpips`, by AlexNet: a perceptual distance of photo and reconstruction (Zhang et al. 2018)."""

from defect_jax.losses import Loss
from defect_jax.models import features

_ALEXNET = features.load('alexnet')  # here, so that a missing or damaged package is an error before a run begins
LPIPS = Loss(('recon', 'image'), lambda outputs: features.lpips(_ALEXNET, outputs['recon'], outputs['image']))
