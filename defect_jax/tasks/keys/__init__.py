"""The keys of each task's config, one module a task; nothing here imports JAX, so that mistakes are refused at once."""
