"""The `openface` engine: OpenFace's FeatureExtraction, run as a program."""
