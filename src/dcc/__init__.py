"""The DCC gateway: signed and sealed mail in front of shared patient folders."""

__version__ = "0.1.0"
