"""Templates such as 'a photo of {defect}'; imports nothing heavy, since keys are checked by it."""

from collections.abc import Sequence

from defect_jax.errors import UserError


def pairs(templates: Sequence[str], defects: Sequence[str]) -> list[tuple[str, str]]:
  """(defect, text) in the order in which images take them: every defect, then the next template."""
  return [(defect, fill(template, defect)) for template in templates for defect in defects]


def fill(template: str, defect: str) -> str:
  """The text of a template for a defect; raises UserError for what is no template."""
  try:
    return template.format(defect=defect)
  except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
    raise UserError(f'prompts: {template!r} is no template ({type(error).__name__}: {error}); {{defect}} is what can '
                    'be filled in') from error
