"""What a process has freed and the system does not have back."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["hand_back"]


def hand_back() -> None:
    """Gives the system what lies free between what is in use.

    glibc keeps it until it is asked, and large maps, which lie apart, cannot be put there: behind
    the steps of a Stable Diffusion at 512 pixels that is a quarter of a gigabyte, when its decoder
    needs the most. Asking takes 20 ms there; without glibc nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
