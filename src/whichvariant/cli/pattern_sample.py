"""Texts that a regular expression finds, for patterns as people write them in rules."""

from __future__ import annotations

from random import Random

_CLASSES = {"d": "0123456789", "w": "abcdefghijklmnopqrstuvwxyz", "s": " "}
_ANY = "abcdefghijklmnopqrstuvwxyz"
_MOST_REPEATS = 3


def sample_of(pattern: str, random: Random) -> str:
    """A text for ``pattern``: groups, alternatives, classes and repeats are drawn.

    Anchors are passed over, and of negated classes only letters are drawn, so for an elaborate
    pattern the text may not match; that is what most visitors' texts do anyway.
    """
    return _Sampler(pattern, random).alternatives()


class _Sampler:
    """Reads the pattern once, from left to right, and draws as it goes."""

    def __init__(self, pattern: str, random: Random) -> None:
        self._pattern = pattern
        self._position = 0
        self._random = random

    def alternatives(self) -> str:
        """One of the alternatives up to the end of the group or of the pattern."""
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return self._random.choice(options)

    def _sequence(self) -> str:
        text = ""
        while self._position < len(self._pattern) and self._pattern[self._position] not in "|)":
            text += self._repeated(self._one())
        return text

    def _one(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._random.choice(self._class())
        if char == "\\":
            return self._escape(self._next())
        if char == ".":
            return self._random.choice(_ANY)
        return "" if char in "^$" else char

    def _group(self) -> str:
        if self._take("?"):
            # A name or flags: up to the colon or the angle bracket that ends them.
            while self._position < len(self._pattern) and self._next() not in ":>)":
                pass
            if self._pattern[self._position - 1] == ")":
                return ""
        text = self.alternatives()
        self._take(")")
        return text

    def _class(self) -> str:
        negated = self._take("^")
        members = ""
        while self._position < len(self._pattern):
            char = self._next()
            if char == "]" and members:
                break
            if char == "\\":
                members += self._escape(self._next())
            elif char == "-" and members and self._peek() not in ("", "]"):
                members += "".join(map(chr, range(ord(members[-1]) + 1, ord(self._next()) + 1)))
            else:
                members += char
        if negated:
            members = "".join(char for char in _ANY if char not in members)
        return members or _ANY

    def _escape(self, char: str) -> str:
        if char in _CLASSES:
            return self._random.choice(_CLASSES[char])
        return "" if char.isalnum() else char

    def _repeated(self, text: str) -> str:
        quantifier = self._peek()
        if quantifier == "?":
            times = self._random.randint(0, 1)
        elif quantifier == "*":
            times = self._random.randint(0, _MOST_REPEATS)
        elif quantifier == "+":
            times = self._random.randint(1, _MOST_REPEATS)
        elif quantifier == "{":
            start, end = self._position + 1, self._pattern.find("}", self._position)
            least = self._pattern[start:end].split(",")[0]
            if end < 0 or not least.isdecimal():
                return text
            self._position = end
            times = min(int(least), 100)
        else:
            return text
        self._next()
        self._take("?")  # lazy or not, the text is the same
        return text * times

    def _peek(self) -> str:
        return self._pattern[self._position : self._position + 1]

    def _next(self) -> str:
        char = self._peek()
        self._position += 1
        return char

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._position += 1
        return True
