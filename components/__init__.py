"""The Pulumi resources of the mail stack."""

import gc
import os

if "PULUMI_CONFIG" in os.environ:  # a process of the engine's: not a test, nor a program around this one
    # It ends within seconds. Looking for cycles takes a tenth of a small preview, a quarter with a thousand domains.
    gc.disable()
