"""Predictors: finished runs opened again, a file a kind; see base.open."""
