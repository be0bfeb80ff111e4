"""The crash driver: real processes, killed at random, under load and with a carrier that has bad days."""
