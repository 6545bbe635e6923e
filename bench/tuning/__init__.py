"""The search for better params: studies of cells, and the trials that they are made of."""
