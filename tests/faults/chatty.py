"""A module that prints while it is imported, as some libraries do."""

import os

print("chatter of a library")
os.write(1, b"more chatter of a library\n")
