"""The `mediapipe` engine: FaceLandmarker meshes and blendshapes, read as Action Unit proxies."""
