"""Readers of data sets as their owners publish them, one module per set; datasets/prepare_*.py writes what they give.

What is given are, per image, a dataset dict (data/datasets/pose_json.py, 13 joints, file names relative) or the
`PoseFileError` of what had to be left out. A file of annotations that is cut, inconsistent or of another set is a
`PoseFileError` that names it: refused where the set has one file, left out where it has one per take.
"""
