"""merrflow turns raw video into multimodal emotion datasets, the way MERR was built."""

from pkgutil import extend_path

# The gRPC stubs (merrflow.<service>.v1) come with their own distribution, merrflow-protos.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
