"""The two stages of learning from scratch: the autoencoder, and then UNet and text encoder in its latents."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from defect_jax.diffusion import finetune, pipeline, small_model
from defect_jax.models import features
from defect_jax.report import grids
from defect_jax.runs.artefacts import Artefact
from defect_jax.runs.folder import Workdir
from defect_jax.training import fit, loop, routing
from defect_jax.training.callbacks import Evaluation
from defect_jax.training.trainer import Trainer, as_tree

AUTOENCODER = Artefact('vae')  # workdir of its training
_SHOWN = 9  # areas in a grid of reconstructions
_DECAY, _B2 = 0.01, 0.99  # of AdamW
_WARMUP = 20  # steps of the autoencoder


def configs_of(config, tokens):
  """{part: dict of its config.json} of the pipeline that a config describes; UserError where it cannot be made."""
  model = config.model
  return small_model.configs(config.data.size, model.autoencoder.to_dict(), model.unet.to_dict(), model.text.to_dict(),
                             tokens, model.text.length)


def fit_autoencoder(config, workdir, configs, train):
  """Trains the autoencoder in the run's folder vae/, or finds it trained; (parameters, summary of that run)."""
  inner, chosen = Workdir(workdir.path(AUTOENCODER), workdir), config.autoencoder
  inner.check(ConfigDict({'task': 'inpaint_train', 'stage': 'autoencoder', 'seed': config.seed, 'dtype': config.dtype,
                          'data': config.data.to_dict(), 'model': config.model.autoencoder.to_dict(),
                          'steps': chosen.steps.to_dict(), 'autoencoder': chosen.to_dict()}))
  _, vae, _ = pipeline.modules(configs, config.dtype)
  keys = jax.random.split(jax.random.key(config.seed), 2)
  params = {'vae': small_model.begin(configs, config.seed)['vae']}
  optimizer = _optimizer(chosen.lr, chosen.steps.total, _WARMUP, 1.0)
  trainer = Trainer(finetune.Autoencoding(vae), finetune.autoencoding_losses(chosen.lpips, chosen.kld),
                    routing.whole('loss', params, optimizer), keys[0], decay=0.99, warm=True)
  done = inner.finished()
  if done is None:
    inner.open()
  with inner.running():
    begin = trainer.init(params, frozen={'lpips': features.load('alexnet')})
    trained = fit.fit(inner, loop.Schedule(**chosen.steps), trainer, begin, {'image': train.pixels}, train.digest(),
                      chosen.batch, keys[1], [Evaluation(_reconstructions(inner, vae, train))], gather=_images)
    if done is None:
      done = {'seconds': inner.seconds_spent(), **trained.speed, 'loss': trained.last_tenth(),
              'mse': [row['eval/mse'] for row in inner.read_metrics() if 'eval/mse' in row][-1]}
      inner.finish(done)
      done = inner.finished()  # as a run that goes on from here reads it
  return as_tree(trained.state.average['vae']), done


def _reconstructions(workdir, vae, train):
  """`evaluate` of a Callback: a grid of areas and their reconstructions, and their squared error."""
  shown = np.float32(train.pixels[:: -(-len(train) // _SHOWN)]) / 255

  @jax.jit
  def reconstruct(params):
    z = pipeline.apply(vae, params, (2 * shown - 1).transpose(0, 3, 1, 2), method=vae.encode).latent_dist.mode()
    image = pipeline.apply(vae, params, z.transpose(0, 3, 1, 2), method=vae.decode).sample
    return image.transpose(0, 2, 3, 1) / 2 + 0.5

  def evaluate(state, step):
    recon = np.clip(reconstruct(state.average['vae']), 0, 1)
    grids.write_png(workdir.sample(step, 'recon'), grids.recon_grid(shown, recon))
    return {'eval/mse': float(np.mean(np.square(recon - shown)))}

  return evaluate


def _images(data, indices, weights):
  return {'image': data['image'][indices].astype(jnp.float32) / 255, 'weight': weights}


def bank(model, areas, texts):
  """What is known of each area, encoded once: original, masked, mask (see Encoded) and its text's row."""
  encoded = model.encode_photos([*areas.images()], [*areas.masks])
  masked, original, mask = (np.stack(part) for part in zip(*encoded, strict=True))
  return {'original': original, 'masked': masked, 'mask': mask, 'text': texts.rows(areas.labels)}


def rows(data, indices, weights):
  """A batch of a bank."""
  return {name: of[indices] for name, of in data.items()} | {'weight': weights}


def denoising_trainer(config, model, key, params):
  """The Trainer of the second stage."""
  chosen = config.optimizer
  optimizer = _optimizer(chosen.lr, config.steps.total, chosen.warmup, chosen.clip)
  return Trainer(model, finetune.DENOISING_LOSSES, routing.whole('loss', params, optimizer), key, decay=chosen.average,
                 warm=True, microbatches=chosen.accumulate, unroll=jax.default_backend() == 'cpu')


def _optimizer(rate, steps, warmup, clip):
  """AdamW after a clipped gradient; the rate rises over the warm-up and falls to 0 by a cosine."""
  schedule = optax.warmup_cosine_decay_schedule(0. if warmup else rate, rate, min(warmup, steps - 1), steps)
  return optax.chain(optax.clip_by_global_norm(clip), optax.adamw(schedule, b2=_B2, weight_decay=_DECAY))
