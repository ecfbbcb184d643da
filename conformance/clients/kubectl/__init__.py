"""`kubectl` as its users call it."""
