"""The commands of dcc, one file each."""
