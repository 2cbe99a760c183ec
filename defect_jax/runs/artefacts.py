"""Files and folders of a run, each declared by the task or room that writes it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Artefact:
  """A file or folder by its name in the run's folder; `workdir.path(artefact)` says where it is."""
  name: str


CONFIG = Artefact('config.json')
METRICS = Artefact('metrics.jsonl')
STATUS = Artefact('status.json')
REQUESTS = Artefact('requests.json')
SUMMARY = Artefact('summary.json')
REPORT = Artefact('report.html')
LOCK = Artefact('lock')
CHECKPOINTS = Artefact('checkpoints')
SAMPLES = Artefact('samples')
