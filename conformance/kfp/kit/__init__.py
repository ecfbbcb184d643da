"""The parts of the harness: tables, sources, the server, runs as trees, and comparing."""
