"""Which key a certificate carries: kind and size, of post-quantum keys too, which asn1crypto does not know (RFC 9881)."""

from __future__ import annotations

from typing import Any

from asn1crypto import core, keys

# RFC 9881 §2, RFC 9935 §3: the parameter sets that smime/ reads and writes behind its switch
POST_QUANTUM = {
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
    "2.16.840.1.101.3.4.4.2": "ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "ml-kem-1024",
}
GIP_CPS_RSA = "1.2.250.1.71.2.6.1"  # an old identifier that means plain RSA (facts: cards §1.1)
EC_BITS = {66: 521}  # the one named curve whose size is not whole octets


class _Algorithm(core.Sequence):
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]  # noqa: RUF012


class _PublicKey(core.Sequence):
    _fields = [("algorithm", _Algorithm), ("public_key", core.BitString)]  # noqa: RUF012


def kind_and_bits(info: Any) -> tuple[str, int]:
    """(kind, bits) of a SubjectPublicKeyInfo: the modulus of RSA, the field of a curve, else the whole key.

    Raises ValueError, KeyError, TypeError where asn1crypto does.
    """
    octets = info.dump()
    raw: Any = _PublicKey.load(octets)  # type: ignore[no-untyped-call]
    name = POST_QUANTUM.get(raw["algorithm"]["algorithm"].dotted)
    if name is not None:
        return name, 8 * (len(raw["public_key"].contents) - 1)  # the first octet counts unused bits
    kind = str(info["algorithm"]["algorithm"].native)
    kind = "rsa" if kind == GIP_CPS_RSA else kind
    if kind in {"rsa", "rsassa_pss"}:
        return kind, int(keys.RSAPublicKey.load(bytes(info["public_key"])).native["modulus"]).bit_length()
    if kind == "ec" and info.curve[0] == "named":
        size = int(info["algorithm"]["parameters"].key_size)
        return kind, EC_BITS.get(size, 8 * size)
    return kind, 8 * len(bytes(info["public_key"].contents)[1:])
