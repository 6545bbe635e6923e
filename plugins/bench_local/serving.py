"""The last thing that the worker server imports: from here on it serves, and outlives signals.

A signal to the whole process group, as `timeout` and job schedulers send it, is for `bench` to
answer. If the server died of it, every worker would pass for dead while it saves its run.
"""

import signal
import sys

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
