"""Bytes in, verdict out; content in, sealed message out (RFC 5652, RFC 8551)."""
