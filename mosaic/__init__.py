"""Mosaic (arXiv 2505.19699), and the federated substrate ``mosaic.fl`` that all methods use."""
