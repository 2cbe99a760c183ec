"""Sweeps: jobs, studies made of them, and what runs them."""
