# vLLM's image with what it needs to read sound, which its authors leave out because of licences (their documentation,
# "Using Docker"). For Qwen2-Audio in deploy/compose/vllm.yml and deploy/kubernetes/endpoints/vllm.
ARG VLLM_IMAGE
FROM ${VLLM_IMAGE}
RUN uv pip install --system "vllm[audio]==$(python3 -c 'import importlib.metadata as m; print(m.version("vllm"))')"
