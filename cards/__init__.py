"""Who holds a certificate, and whether it is good today."""
