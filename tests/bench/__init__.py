"""Benchmarks: the console beside what a user would pick instead, in one run. Read the ratios."""
