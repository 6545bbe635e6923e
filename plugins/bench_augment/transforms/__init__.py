"""What the augmentations do to pixels; nothing in here is imported before a run is built."""
