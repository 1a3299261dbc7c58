"""Data sets that the program draws: streets and organs."""
