"""Jobs: each assembles the rooms below it as a config says."""
