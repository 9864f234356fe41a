"""What a message asks for, and what is decided."""
