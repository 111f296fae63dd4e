"""What trains stored things again: fresh seeds, confirm, compare, replay, images."""
