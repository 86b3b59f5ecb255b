"""Text from outside, such as a file's name or a label, for a terminal or a log."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Return a text in which what cannot be seen is escaped as in Python, so that it cannot do harm.

        visible("cat\x1b[2J.jpg\n") == r"cat\x1b[2J.jpg\n"

    That is control characters, line breaks, changes of direction, and bytes of a name that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
