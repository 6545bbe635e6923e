"""Tuning: Optuna's ask and tell over the runner that does all other runs; it sees train and val."""
