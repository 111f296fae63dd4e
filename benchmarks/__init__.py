"""Both sides of every speed claim, measured in one run: `make bench` writes docs/benchmarks.md."""
