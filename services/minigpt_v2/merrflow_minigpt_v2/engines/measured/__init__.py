"""The rule-based engine `measured`: it measures a frame and puts the measurements in words. No language model."""
