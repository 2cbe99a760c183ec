"""What a run has left in its folder."""

import csv
import json


def summary_of(workdir):
  return json.loads((workdir / 'summary.json').read_text())


def rows_of(workdir):
  with open(workdir / 'predictions.csv', newline='') as file:
    return {row['file']: row for row in csv.DictReader(file)}
