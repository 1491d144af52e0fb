"""The engines of the llama3 service. Heavy libraries are imported only here, when an engine is loaded."""
