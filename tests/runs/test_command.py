from defect_jax.runs.command import LAUNCHER, Command

ARGUMENTS = ('--config=configs/vae_split.py:tiny', '--config.data.path=my photos', '--config.data.size', '64',
             '--workdir', 'runs/a')


def test_other_settings_replace_those_given(monkeypatch):
  monkeypatch.delenv(LAUNCHER, raising=False)
  assert Command(ARGUMENTS).changed({'data.size': 128}, 'runs/b') == (
      "python -m defect_jax.main --config=configs/vae_split.py:tiny '--config.data.path=my photos' "
      '--config.data.size=128 --workdir=runs/b')


def test_a_switch_and_a_key_whose_name_begins_alike(monkeypatch):
  monkeypatch.delenv(LAUNCHER, raising=False)
  command = Command(('--config=c.py', '--noconfig.tiles.on', '--config.data.sizes=3'))
  assert command.changed({'tiles.on': True, 'data.size': 1.5, 'data.box': (1, 2), 'data.fold': None}, 'w') == (
      'python -m defect_jax.main --config=c.py --config.data.sizes=3 --config.tiles.on=true --config.data.size=1.5 '
      '--config.data.box=1,2 --config.data.fold=none --workdir=w')


def test_as_it_was_launched(monkeypatch):
  monkeypatch.setenv(LAUNCHER, './launch.sh')
  assert Command(('--config.seed=1', '--config=configs/pca.py')).changed({'seed': 2}, 'w') == (
      './launch.sh configs/pca.py --config.seed=2 --workdir=w')


def test_without_a_command_line_the_options_alone():
  assert Command().changed({'data.size': 128}, 'runs/b') == '--config.data.size=128 --workdir=runs/b'
