"""The attributes of one signer, sliced: names at once, values only where they are asked for (RFC 5652 §5.3; R-ATTRS)."""

from __future__ import annotations

from dcc.smime import ber
from dcc.smime.errors import Malformed
from dcc.smime.limits import Limits


class Attributes:
    """A SET OF Attribute. A type that occurs twice gives the values of both, and is refused where it matters.

    `is_der`: shortest lengths, the attributes in ascending order (X.690 §10.1, §11.6); of the values, those asked for.
    Raises Malformed, LimitPassed.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._values: dict[str, list[ber.Slice]] = {}
        outer = ber.whole(data, ber.SET)
        self.is_der = ber.is_shortest(outer)
        before = b""
        for attribute in ber.children(data, outer, limits.attributes, "attributes"):
            members = ber.children(data, attribute, 3)
            if len(members) != 2 or members[1].tag != ber.SET:
                raise Malformed("attribute")
            encoding = data[attribute.start : attribute.end]
            self.is_der = self.is_der and before <= encoding and all(map(ber.is_shortest, (attribute, *members)))
            before = encoding
            self._values.setdefault(ber.oid(data, members[0], limits), []).append(members[1])

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def values(self, name: str) -> list[bytes]:
        """The values of one type as TLVs; none when it is absent."""
        found: list[bytes] = []
        for values in self._values.get(name, ()):
            for one in ber.children(self._data, values, self._limits.attributes, "attributes"):
                self.is_der = self.is_der and ber.is_shortest(one)
                found.append(self._data[one.start : one.end])
        return found
