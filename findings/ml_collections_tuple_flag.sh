#!/usr/bin/env bash
# ml_collections 1.1.0, config_flags: a comma list given to a tuple of texts.
# Expected: --config.classes=crack,hole gives ('crack', 'hole'), or is refused, as --config.count=x is.
# Seen: it is taken without a word as one name, ('crack,hole',), so a job runs on a class that does not exist. The
# Python literal "('crack','hole')" gives two names.
# Exit status 0: still so. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ml_collections==1.1.0 absl-py==2.3.1
cat >"$folder/config.py" <<'PY'
from ml_collections import ConfigDict


def get_config():
  return ConfigDict({'classes': ('good',)})
PY
cat >"$folder/show.py" <<'PY'
from absl import app
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file('config')
app.run(lambda _: print(CONFIG.value.classes))
PY
cd "$folder"
by_commas=$(venv/bin/python show.py --config=config.py --config.classes=crack,hole)
by_literal=$(venv/bin/python show.py --config=config.py "--config.classes=('crack','hole')")
echo "crack,hole gives $by_commas; the literal gives $by_literal"
[ "$by_commas" = "('crack,hole',)" ] && [ "$by_literal" = "('crack', 'hole')" ]
