"""Optional features, each in a file of its own; the core imports none of them."""
