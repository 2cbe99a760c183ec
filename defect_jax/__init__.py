"""Defect modeling on photos of photovoltaic cells, in JAX."""

__version__ = '0.1.0'
