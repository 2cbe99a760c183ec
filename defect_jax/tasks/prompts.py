"""Texts of templates such as 'a photo of {defect}'."""

from defect_jax.config import UserError


def fill(template, defect):
  """The text of a template for a defect; UserError for what is no template."""
  try:
    return template.format(defect=defect)
  except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
    raise UserError(f'prompts: {template!r} is no template ({type(error).__name__}: {error}); {{defect}} is what can '
                    'be filled in') from error
