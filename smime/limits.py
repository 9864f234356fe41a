"""Every limit of the S/MIME reader, in one table (facts: EFAIL-era denial of service; I8)."""

from __future__ import annotations

from dataclasses import dataclass

KILO = 1 << 10
MEGA = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, counts and depths; each is a setting, each default has a test on both sides."""

    message: int = 160 * MEGA
    header_block: int = 256 * KILO
    header_field: int = 16 * KILO
    header_fields: int = 1_000
    addresses: int = 500
    mime_depth: int = 20
    mime_parts: int = 1_000
    decompressed: int = 100 * MEGA
    decompression_ratio: int = 100
    asn1_depth: int = 32
    object_identifier: int = 64
    segments: int = 10_000  # of one octet string, and one more for each 64 octets of it
    small_structure: int = 2 * MEGA  # recipients, certificates, signers: what is held in memory whole
    recipient_infos: int = 1_000
    signer_infos: int = 10
    certificates: int = 100
    cms_layers: int = 3
    compressed_layers: int = 1
    attributes: int = 100  # of one signer, signed or not; and values of one attribute
    extensions: int = 100  # of one certificate
    signature_checks: int = 100
