"""What a detector's run measured before on other photos (measure.part): its page and figures stay in the workdir."""

import json
from collections.abc import Mapping
from typing import Any

from defect_jax.runs import artefacts
from defect_jax.runs.atomic import write_atomic
from defect_jax.runs.folder import Workdir

MEASURED = artefacts.Artefact('measured')  # a folder for each measure.part
# Of the summary, what the answers of the page are about.
_FOUND = ('found', 'found_ci', 'false_alarms', 'false_alarms_ci', 'tested', 'good_apart', 'measured_on', 'image_auroc',
          'image_auroc_ci', 'scores', 'score', 'looked_at', 'mixture')


def open_keeping(workdir: Workdir, part: str | None) -> None:
  """Opens the workdir; what a finished run in it has measured on another part is kept."""
  saved, kept = workdir.read_config(), []
  if saved and saved.measure.part != part and workdir.read_summary():
    kept = [(workdir.path(MEASURED) / saved.measure.part / path.name, path.read_bytes())
            for path in (workdir.summary_json, workdir.report_html) if path.exists()]
  workdir.open()
  for path, data in kept:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)


def before(workdir: Workdir, part: str | None) -> dict[str, dict[str, Any]]:
  """The summaries of what was measured before, by measure.part, without that of `part`."""
  found = {}
  for path in sorted(workdir.path(MEASURED).glob(f'*/{artefacts.SUMMARY.name}')):
    if path.parent.name != part:
      found[path.parent.name] = json.loads(path.read_text())
  return found


def strongest(summary: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """The summary as answers are given by: real defects that were measured before say more than pasted ones do now."""
  real = next((one for one in earlier.values() if one.get('measured_on') == 'labels' and one.get('found') is not None),
              None)
  if summary['measured_on'] == 'labels' or real is None:
    return dict(summary)
  return dict(summary) | {key: real[key] for key in _FOUND if key in real}
