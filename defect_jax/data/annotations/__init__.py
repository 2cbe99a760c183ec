"""What is marked in photos: mask images and the files of annotation tools, a format a file."""

from defect_jax.data.annotations.base import Annotation, MaskFile, Unusable, read_mask
from defect_jax.data.annotations.doubts import AS_IS, DOUBTS, HOW, looks_inverted, read_as
from defect_jax.data.annotations.files import has_files, read_files
from defect_jax.data.annotations.masks import find_masks, is_mask_of

__all__ = ['AS_IS', 'DOUBTS', 'HOW', 'Annotation', 'MaskFile', 'Unusable', 'find_masks', 'has_files', 'is_mask_of',
           'looks_inverted', 'read_as', 'read_files', 'read_mask']
