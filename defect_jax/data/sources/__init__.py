"""Sources: how photos and annotations are laid out on disk, one layout a file."""
