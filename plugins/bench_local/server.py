"""The first thing that the worker server imports, so that the server starts and ends quietly.

Ctrl-C reaches the whole process group. multiprocessing's server ignores it once it serves, but
until then, in the seconds that importing torch takes, it would print a traceback. And where torch
has been imported, taking the interpreter down in good order takes seconds, for nothing.
"""

import atexit
import os
import signal
import sys

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    atexit.register(os._exit, 0)
