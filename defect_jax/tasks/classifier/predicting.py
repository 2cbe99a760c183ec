"""Predicts a folder of photos by a trained classifier."""

from defect_jax.evaluation import classification
from defect_jax.tasks import predict
from defect_jax.trained.classifier import open_classifier


def run(config, workdir):
  """Predicts all photos of `config.photos`; returns the summary, in which figures that take labels are null."""
  records = predict.list_photos(config.photos, workdir)
  predictor = open_classifier(config.classifier, prevalence=config.prevalence, mirrored=config.mirrored,
                              threshold=config.threshold)
  workdir.open()
  print(f'classes and geometry are those of {config.classifier}: {", ".join(predictor.classes)}', flush=True)
  return dict.fromkeys((*classification.NAMES, 'confusion', 'ci', 'part')) | predict.predict(
      workdir, predictor, records, config.heatmaps)
