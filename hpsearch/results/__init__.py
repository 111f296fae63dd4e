"""What a study says, as numbers and sentences; no terminal, no charts."""
