"""What limner raises.

LimnerError            anything limner itself reports
└── BadInput           what came from outside is wrong: exit status 2, HTTP 4xx
"""

from __future__ import annotations

__all__ = ["LimnerError", "BadInput"]


class LimnerError(Exception):
    """Something limner reports in one line instead of a traceback."""


class BadInput(LimnerError):
    """The input is wrong. The message says what came, what was expected and what to do."""
