"""Retrains what is stored: fresh seeds, confirm, compare, replay."""
