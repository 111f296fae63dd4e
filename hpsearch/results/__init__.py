"""What a study shows, as numbers and sentences; no terminal, no charts."""
