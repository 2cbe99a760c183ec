"""What a person sees of the training of a VAE while it runs."""

from defect_jax.tasks.progress import Training


class Progress(Training):
  """Shows both losses and their targets."""

  def losses(self, row):
    return (f'KLD {row["train/kld"]:.2f} (target {row["target/kld"]:.4g})  MSE {row["train/mse"]:.3e} '
            f'(target {row["target/mse"]:.3e})')
