"""The stages of one clip's way. Each is a pure function from frozen dataclasses to a frozen dataclass."""
