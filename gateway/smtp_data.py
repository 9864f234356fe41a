"""The octets of DATA, as a stream: the true end found, dots undone, bare CR, LF and NUL seen (RFC 5321 §4.5.2, §2.3.8).

Data ends at CRLF.CRLF and nowhere else (R-SMTP): every other ending is how one mail becomes two.
"""

from __future__ import annotations

END = b"\r\n.\r\n"
LINE = b"\r\n"


class DataDecoder:
    """Feed chunks of any size; memory is bounded by one chunk."""

    def __init__(self) -> None:
        # DATA begins at the start of a line: a CRLF that is never written stands before the first octet.
        self._held = LINE
        self._skip = len(LINE)
        self.bare = False  # a bare CR, a bare LF or a NUL was seen
        self.longest_line = 0
        self._line = 0

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """(decoded octets, None), or at the end (last octets, what was pipelined behind the end)."""
        data = self._held + chunk
        found = data.find(END)
        if found >= 0:
            self._held = b""
            return self._decoded(data[: found + len(LINE)]), data[found + len(END) :]
        cut = max(0, len(data) - len(END) + 1)
        while cut and data[cut - 1] in LINE:  # never split CRLF from the dot that may follow
            cut -= 1
        self._held = data[cut:]
        return self._decoded(data[:cut]), None

    def _decoded(self, content: bytes) -> bytes:
        if not content:
            return b""
        clear = content.replace(b"\r\n.", LINE)
        if self._skip:
            clear = clear[self._skip :]
            self._skip = 0
        pairs = clear.count(LINE)
        if clear.count(b"\r") != pairs or clear.count(b"\n") != pairs or b"\0" in clear:
            self.bare = True
        self._measure(clear)
        return clear

    def _measure(self, clear: bytes) -> None:
        first = clear.find(b"\n")
        if first < 0:
            self._line += len(clear)
        else:
            self.longest_line = max(self.longest_line, self._line + first)
            self._line = len(clear) - clear.rfind(b"\n") - 1
        self.longest_line = max(self.longest_line, self._line)
