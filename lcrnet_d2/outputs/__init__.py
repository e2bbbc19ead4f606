"""People written to files and shown: JSON, npz, CSV, BVH, a page to turn them in; other skeletons."""
