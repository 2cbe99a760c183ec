"""Production of many images."""
