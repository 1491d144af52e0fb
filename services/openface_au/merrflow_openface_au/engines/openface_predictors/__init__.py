"""The `openface_predictors` engine: OpenFace's model files of the user's on MediaPipe's face mesh."""
