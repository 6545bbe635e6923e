"""What is done with trained networks: predicting and exporting.

It lies apart from the rest of the engine because it decides on no run's result: no change here
makes anybody train again.
"""
