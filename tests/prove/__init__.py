"""Proofs: tests that try to break what the project promises, for as long as one likes."""
