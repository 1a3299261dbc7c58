"""The method: synthesize, then compare (the paper's F), and the seam of every detector."""
