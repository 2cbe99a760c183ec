"""Images a second from a trained VAE, PNG files included, against decoding and writing them one by one.

  python -m experiments.bench_generate --vae=runs/vae_split

Ours makes an image set with manifest through the production room, in batches; the peer decodes an image, saves it by
Pillow, and goes to the next. Both are compiled beforehand, and both read nothing back. Where files are created slowly,
the disk is what is measured: --folder says where they go.
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
from absl import flags
from PIL import Image

from configs import generate as config_of
from defect_jax.augmentation import production, samplers
from defect_jax.augmentation.decoding import DecodingProduction
from defect_jax.trained.vae import open_vae
from experiments import bench, command

FLAGS = command.define(quick=True)
flags.DEFINE_string('vae', None, 'Workdir of a trained VAE.', required=True, flag_values=FLAGS)
flags.DEFINE_string('folder', None, 'Where the images go; by default the folder for temporary files.',
                    flag_values=FLAGS)
flags.DEFINE_integer('images', 500, 'Images a round.', lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer('rounds', 9, 'Rounds of each side.', lower_bound=1, flag_values=FLAGS)


def main(flags: flags.FlagValues) -> None:
  bench.print_load()
  config = config_of.get_config('interpolate')
  vae = open_vae(flags.vae)
  photos = vae.photos()
  images = photos.images()
  sampler = samplers.make('interpolate', vae.encode(images), temperature=config.sampler.temperature,
                          neighbours=config.sampler.neighbours, components=config.sampler.components, seed=config.seed,
                          brightness=images.mean((1, 2, 3)))
  make = DecodingProduction(vae.decode, sampler, photos, config.seed, {'class': 'made', 'model': flags.vae})
  key = jax.random.key(config.seed)
  decode_one = jax.jit(lambda index: vae.decode(sampler(jax.random.fold_in(key, index)[None]).z)[0])

  def by_production():
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
      production.produce(folder, flags.images, config.batch, make, 'bench')

  def one_by_one():
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
      for index in range(flags.images):
        image = np.squeeze(np.asarray(decode_one(index)))
        levels = np.uint8(np.rint(np.clip(image, 0, 1) * 255))
        Image.fromarray(levels).save(Path(folder) / f'{index:06d}.png')

  seconds = bench.alternate({'ours': by_production, 'one by one': one_by_one}, 1 if flags.quick else flags.rounds)
  ours, peer = (float(np.median(seconds[name])) for name in ('ours', 'one by one'))
  bench.print_times({name: values / flags.images for name, values in seconds.items()})
  print(f'{vae.vae.size} px: ours {flags.images / ours:.0f} images/s, one by one {flags.images / peer:.0f} images/s')
  bench.print_result('bench_generate', ours, peer, ('jaxlib', 'pillow', 'imagecodecs'), images=flags.images,
                     images_per_second=flags.images / ours)


if __name__ == '__main__':
  command.run(main, FLAGS)
