"""Building blocks shared by the networks, each for two and three spatial dimensions."""
