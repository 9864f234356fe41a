"""The octets of DATA, as a stream: the true end found, dots undone, bare CR, LF and NUL seen (RFC 5321 §4.5.2, §2.3.8).

Data ends at CRLF.CRLF and nowhere else (R-SMTP): every other ending is how one mail becomes two.
"""

from __future__ import annotations

END = b"\r\n.\r\n"
LINE = b"\r\n"
BEGINNINGS = tuple(END[:length] for length in range(len(END) - 1, 0, -1))  # longest first
LINE_BYTES = 64 << 10


class DataDecoder:
    """Feed chunks of any size; at most four octets are kept between two of them."""

    def __init__(self, line_bytes: int = LINE_BYTES) -> None:
        # DATA begins at the start of a line: a CRLF that is never written stands before the first octet.
        self._held = LINE
        self._skip = len(LINE)
        self._most = line_bytes
        self._line = 0  # length of the line that has not ended yet
        self.bare = False  # a bare CR, a bare LF or a NUL was seen
        self.long_line = False  # a line had more octets than `line_bytes`, its CRLF not counted

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """(decoded octets, None), or at the end (last octets, what was pipelined behind the end)."""
        data = self._held + chunk
        found = data.find(END)
        if found >= 0:
            self._held = b""
            return self._decoded(data[: found + len(LINE)]), data[found + len(END) :]
        # What may be the beginning of the end waits for the next chunk; so CRLF is never parted from a stuffed dot.
        self._held = next((one for one in BEGINNINGS if data.endswith(one)), b"")
        return self._decoded(data[: len(data) - len(self._held)]), None

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
        """Jump from line end to line end, as far each time as one line may reach: a few steps for a chunk."""
        reach = self._most + len(LINE)
        begin = -self._line
        while len(clear) - begin >= reach:
            found = clear.rfind(b"\n", max(0, begin), begin + reach)
            if found < 0:
                self.long_line = True
                break
            begin = found + 1
        last = clear.rfind(b"\n")
        self._line = len(clear) - last - 1 if last >= 0 else self._line + len(clear)
