"""How parameters are moved: streams of gradients, control of the losses, the loop and its checkpoints."""
