"""What the README shows exists: every command parses, every file is there."""

import importlib.util
import re
from pathlib import Path

import pytest

from defect_jax.config import from_command_line
from defect_jax.schema import check
from defect_jax.tasks.start import find_task

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
JOBS = re.findall(r'^(?:\./launch\.sh|python -m defect_jax\.main --config=)\s*(configs/.*)$', README, re.MULTILINE)
MODULES = sorted(set(re.findall(r'-m (experiments\.\w+)', README)))
FILES = re.findall(r'\]\((?!http)([^)#]+)\)', README)
OPTIONS = re.findall(r'`(--config\.[\w.]+=[^`\s]+)`', README)


@pytest.mark.parametrize('job', JOBS)
def test_a_job_is_a_valid_command(job):
  words = [word for word in job.split() if not word.startswith('--workdir')]
  _, config, rest = from_command_line([f'--config={words[0]}', *words[1:]])
  assert rest == []
  check(config, find_task(config).SCHEMA)


@pytest.mark.parametrize('option', OPTIONS)
def test_an_option_is_a_key_of_its_job(option):
  group = option.removeprefix('--config.').partition('.')[0].partition('=')[0]
  job = {'sampler': 'generate', 'lora': 'inpaint', 'masks': 'inpaint', 'made': 'classifier', 'classifier': 'classifier'}
  job |= dict.fromkeys(('mode', 'photos', 'tiles', 'score', 'threshold', 'measure'), 'anomaly')
  job = job.get(group, 'vae_split')
  _, config, rest = from_command_line([f'--config=configs/{job}.py', option])
  assert rest == []
  check(config, find_task(config).SCHEMA)


def test_what_is_pointed_to_exists():
  assert JOBS and MODULES and FILES and OPTIONS
  assert all((ROOT / file).exists() for file in FILES)
  assert all(importlib.util.find_spec(module) for module in MODULES)
