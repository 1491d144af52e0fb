# vLLM's image with what it needs to read sound, which its authors leave out because of licences (their documentation,
# "Using Docker"). For Qwen2-Audio in deploy/compose/vllm.yml and deploy/kubernetes/endpoints/vllm.
ARG VLLM_IMAGE
FROM ${VLLM_IMAGE}
COPY deploy/docker/lock-vllm-audio.txt /tmp/
RUN uv pip install --system --no-deps --require-hashes --only-binary :all: -r /tmp/lock-vllm-audio.txt
