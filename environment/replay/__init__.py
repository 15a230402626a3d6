"""Recorded runs as test vectors: each agent is told exactly what it was told, when it was told it, and everything that
it says, sets and pays is compared with the record."""
