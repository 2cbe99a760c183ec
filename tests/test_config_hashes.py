"""The hashes of all configs are those that version 0.1.0 wrote before its keys became tables: recorded from there."""

import pytest

from defect_jax.config import config_hash, load
from defect_jax.registry import KEYS

HASHES = {
    ('anomaly', ''): '50e25c25737f3ba6d7a179a045f1966755fde3fbe90d53fb79c836aecb26ea55',
    ('anomaly', 'tiny'): '39cfa5a96c9af1186b23651fb16f7415833a24085713b8a5ac6fa9f2bd48efdd',
    ('classifier', ''): 'cc1b00de866084517572c121ab0cba4516d5ef97a568b7c40d98503fd6f1b949',
    ('classifier', 'tiny'): '99911b7b8f14147ca3d8f807860f057fc563c60fa9d8dea69ca2de72913ae2ac',
    ('classifier', 'vgg16'): '068292b3b595085a84eb060a27e72f9732b610672bba937c1492bb639da88036',
    ('classifier', 'vgg16,tiny'): '081e9ad2e221c78e693084c2d9d8bc4858da866b437b0a51209ae11bbeb39211',
    ('classifier_many', ''): 'cbdbe64203e3e7b3195a090018bc0e105ba79327d1c9e863edb453b709418217',
    ('classifier_many', 'tiny'): '4df388bf30bde6088dcb87b220ed2e778484cd9bcf71c650fc004b053f226bc8',
    ('generate', ''): '4da6326cc395943447ae8aa8d8a9816b2c0d60a0ce749ddafd6cb748498505e8',
    ('generate', 'tiny'): '5ac16fa16821a302290df84fc09507e0a65a4c181703d5ed3455d6b58439818d',
    ('generate', 'prior'): 'f3d44fe3939949267cf061459c4466ec48775f1889b4769408b06a50e8681181',
    ('generate', 'gmm'): 'eafa819c3e3800a4a22a59b2bf7708df318718ea19e7637a82531de544fe2002',
    ('generate', 'interpolate'): 'a946488b2f6917ac204779c4da881d6c58e41989dc50e9d6508ff134f5cae9c4',
    ('generate', 'posterior'): 'a3f22c54933ac43d83172ac6192995cef5c97d07acaec19ae51933a56c77569b',
    ('inpaint', ''): '900cfb41e61cb19f5156feaf8da461456975bfd9f18d8a5df14f6470a21e1fc4',
    ('inpaint', 'tiny'): '2bd2f022c553cff53824fce128b1ed4cdd7408adebc7b97c9286053fabdad2a5',
    ('inpaint', 'crop'): '5f125be0fb296f03a442c24ad6fbf42a897451769337942d5da65f2f286a69e3',
    ('inpaint_default', ''): '4bb4bdc7ca97b14a98f4fab8aad1cea68e2b863946c75ef1f827f71d9ab15148',
    ('inpaint_default', 'tiny'): '1a0509d7e7ee34041478a72986d87027329b9aa0b9d3382b188a5e98c7f47471',
    ('inpaint_train', ''): '17b80014062fd2533fa3fe40455e5b57e04ba8330ffcb0b537e4f29fa97e84b4',
    ('inpaint_train', 'tiny'): '6f56a5946c4e74ac3fc78eea61b580d67acb14d4e18215251c936bb47baa4c34',
    ('inpaint_train', 'large'): '314edf8ab10f9a82e85fb32e86e2c349b70553941f742b344b52e559809adcdf',
    ('inpaint_train', 'large,tiny'): '1917b1c358221402f977bd7f255764978cc1d71d5717c2504f1e1f536c22be8f',
    ('vae_joint', ''): 'f4d19f82adb073e9c8155b8ef38d9e3dca419923e310908c4520f620567c6ad7',
    ('vae_joint', 'tiny'): '1a505c9e478e5d279e5cbf6e73085558deb6ddeb292db830a96ddbf634f37eaf',
    ('vae_partition', ''): '812c21706e29ac0099bbf517b4010bdb8a1d9448d693bee03d013da6975653fd',
    ('vae_partition', 'tiny'): '6bc7f281ecb14fa25f988ffe69871f1f916352d5fd6b931cd16c90814bf0b396',
    ('vae_perceptual', ''): '3282c9ed27898203132f53ee0bc7d9a404b45cb8b79fb9fbba79a62676b50e1d',
    ('vae_perceptual', 'tiny'): 'fff2a3bcd90304a8e7585fb3c1f552cf0d58e28b3e54ce77759f2741ec119a73',
    ('vae_sharp', ''): '1584559fef08c82d563f3d2d80d6df16658cb4c47663fca7dccf023f00f22ed4',
    ('vae_sharp', 'tiny'): '027dc241b898a6c5a7d1265833a50879372b8400adc99927d81bdcbb02c3496a',
    ('vae_split', ''): '9befea508c5ffc0af2f4d1b7dc12e2b885a77490872e01f2e1c915f2732ce0b1',
    ('vae_split', 'tiny'): 'bd7077605517d145798d5bd01fc2d120ca833c14d37e51fa374a9ed2bd404d9c',
}


@pytest.mark.parametrize(('name', 'arg'), HASHES)
def test_a_config_has_the_hash_it_had_before(name, arg):
  config = load(f'configs/{name}.py:{arg}')
  if config.task != 'generate' and name != 'inpaint_default':  # which leaves nothing open, but needs a path
    KEYS[config.task].settle(config)
  assert config_hash(config) == HASHES[name, arg]
