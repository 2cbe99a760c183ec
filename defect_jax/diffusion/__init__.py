"""Stable Diffusion inpainting of a marked area of a large photo."""
