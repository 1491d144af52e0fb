"""The stages of a clip's work. Each is a pure function from frozen dataclasses to a frozen dataclass."""
