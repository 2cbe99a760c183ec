"""What each figure of a summary says, in a sentence that stands beside it on every page."""

EXPLAINED = {
    'kld': 'How much the latent numbers tell of which photo it was.',
    'mse': 'How far reconstructions are from their photos, squared, with pixels from 0 to 1.',
    'detail_kept': 'The share of the finest structure that reconstructions still have: cracks need 0.85.',
    'variance': 'How far off the targets are: a VAE that has learned nothing stands at 100 %.',
    'kld_ripple': 'How much the KLD swings at the end.',
    'mse_ripple': 'How much the MSE swings at the end.',
    'steps_to_targets': 'From here to the end both stayed at their targets.',
    'active_units': 'Latent numbers that differ from photo to photo.',
    'collapsed': 'Whether every reconstruction looks much the same.',
    'dev_mse': 'Beside the MSE it says whether photos that were not trained on are rebuilt as well.',
    'known_ratio': 'Their MSE over that of the photos trained on: above 5 these are known by heart.',
    'log_n': 'The KLD that just tells the photos apart.',
    'sample_distance': 'From a new image to the nearest photo, over the same between photos: 1 is as near.',
    'kid': 'How unlike the real ones the images are as a whole: other real photos get 0.',
    'kid_before': 'The same before the training.',
    'kid_after': 'How unlike real defects the made ones are as a whole: other real ones get 0.',
    'kid_cutpaste': 'The same of real defects that are cut and pasted: what has to be beaten.',
    'kid_of_training': 'The same of the photos trained on: about the best to be had.',
    'novelty': 'How far an image is from the nearest photo trained on; 1 is as far as new photos. Bad ones are far.',
    'memorised_fraction': 'The share that is nearer to a photo trained on than new photos are: copies.',
    'diversity': 'How different the images are from one another; 0 if all are the same.',
    'visible': 'The share in which a defect is to be seen.',
    'visible_real': 'What the same measure says of photos of real defects.',
    'beside_part': 'The share whose defect lies on the background.',
    'changed_outside_mask': 'Must be 0: nothing else of a photo may change.',
    'skipped': 'Photos that could not be used, named below.',
    'loss': 'Of the training, at the end.',
    'dev_loss': 'The same on defects that were not trained on; far above it, they are known by heart.',
    'accuracy': 'The share of all photos that is told right; many good photos can hide missed defects.',
    'balanced_accuracy': "The mean of the classes' own accuracies: 0.5 is chance for two classes.",
    'f1': 'Defects found and false alarms in one figure, at a probability of one half.',
    'auroc': 'Of a defective and a good photo, the chance that the defective one gets the higher probability.'}


def of(key: str) -> str:
  """The sentence of a figure by its key in summary.json; '' for one that speaks for itself, such as seconds."""
  return EXPLAINED.get(key, '')
