"""Runs: the folder of a run, its lock, status, requests, and files that are written whole or not at all."""
