"""What deployment files say of the services, as text; `generate.py` fills it in.

`%each` ... `%end` is written once for each service of the catalog, `%gpu` ... `%end` once for each that has an engine
for a card, `%needed` and `%optional` for those that a run needs or not, `%first` and `%rest` for the first service and
the other needed ones. A new file, or a new block of one, is an entry here and its two marker lines in the file.
"""

from __future__ import annotations

# File -> block -> its text.
BLOCKS: dict[str, dict[str, str]] = {
    "docker-compose.yml": {
        "services": """\
%each
  %name:
    <<: *%volumes
    image: ${%{variable}_IMAGE}
    build:
      context: .
      dockerfile: services/Dockerfile
      target: %target
      args: {<<: *build-args, SERVICE: %name, FOLDER: %folder, PREFIX: %prefix, PORT: "%port"}
    ports: ["${LISTEN:-127.0.0.1}:${%{variable}_PORT}:%port"]%profile
    mem_limit: ${%{variable}_MEMORY}

%end
""",
        "addresses": """\
%each
      %{prefix}ADDRESS: %address
%end
""",
    },
    ".env": {
        "images": """\
%each
%{variable}_IMAGE=merrflow/%name:%version
%end
""",
        "ports": """\
%each
%{variable}_PORT=%port
%end
""",
        "memory": """\
%each
%{variable}_MEMORY=%memory
%end
""",
        "replicas": """\
%each
%{variable}_REPLICAS=2
%end
""",
        "gpu": """\
%gpu
%{variable}_GPU_IMAGE=merrflow/%name:%version-torch
%end
%gpu
%{variable}_GPU_EXTRAS=torch
%end
%gpu
%{variable}_GPU_ENGINE=%engine
%end
# The card of each, by its number or UUID in `nvidia-smi -L`. One of 80 GB holds all three.
%gpu
%{variable}_GPU=0
%end
# Memory of the machine, not of the card: weights pass through it when they are loaded.
%gpu
%{variable}_GPU_MEMORY=24g
%end
""",
    },
    "deploy/compose/gpu.yml": {
        "services": """\
%gpu
  %name:
    <<: *real-engine
    image: ${%{variable}_GPU_IMAGE}
    build: {target: "${%{variable}_GPU_EXTRAS}", args: {EXTRAS: "${%{variable}_GPU_EXTRAS}"}}
    environment:
      <<: *hubs
      %{prefix}ENGINE: ${%{variable}_GPU_ENGINE}
      %{prefix}DEVICE: cuda # rather than fall back to the CPU%compose_variables
    mem_limit: ${%{variable}_GPU_MEMORY}
    deploy:
      resources:
        reservations:
          devices: [{driver: nvidia, device_ids: ["${%{variable}_GPU}"], capabilities: [gpu]}]

%end
""",
    },
    "deploy/compose/observability.yml": {
        "services": """\
%each
  %name:
    environment: {%{prefix}METRICS_HOST: 0.0.0.0, %{prefix}METRICS_PORT: "%metrics_port"}

%end
""",
    },
    "deploy/compose/replicas.yml": {
        "ports": "#   export %free_ports\n",
        "services": """\
%each
  %name: {deploy: {replicas: "${%{variable}_REPLICAS}"}}
%end
""",
    },
    "deploy/compose/tls.yml": {
        "services": """\
%each
  %name:
    environment:
      %{prefix}TLS_CERT: /tls/cert.pem
      %{prefix}TLS_KEY: /tls/key.pem
      %{prefix}TLS_CLIENT_CA: /tls/ca.pem
      %{prefix}TOKEN_FILE: /tls/tokens
    volumes:
      - {type: bind, source: "${TLS}/%name", target: /tls, read_only: true}

%end
""",
    },
    "deploy/build-images.sh": {
        "services": """\
services=(%names)
real=(%gpu_names)
declare -A ports targets
%each
ports[%name]=%port targets[%name]=%target
%end
""",
    },
    "deploy/measure-images.sh": {"services": "services=(%names)\n"},
    "deploy/make-certificates.sh": {"services": "[ $# -gt 0 ] || set -- %names worker\n"},
    "deploy/kubernetes/base/models/kustomization.yaml": {
        "services": """\
%each
  - %name.yaml
%end
""",
    },
    "deploy/kubernetes/base/models/autoscaling.yaml": {
        "services": """\
%needed
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: %name
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %name}
  minReplicas: 1
  maxReplicas: 4
%end
""",
    },
    "deploy/kubernetes/base/network/models.yaml": {
        "callers": """\
    - from:
        - podSelector: {matchLabels: {app.kubernetes.io/component: run}}
      ports: [%ports]
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
      ports: [{port: %metrics_port}]
""",
        "called": """\
    - to:
        - podSelector: {matchLabels: {app.kubernetes.io/component: model}}
      ports: [%ports]
""",
    },
    "deploy/kubernetes/base/prefect/kustomization.yaml": {
        "addresses": """\
%needed
      - %{prefix}ADDRESS=dns:///%name.merrflow.svc:%port
%end
""",
    },
    "deploy/kubernetes/asr/kustomization.yaml": {
        "address": """\
%optional
      - %{prefix}ADDRESS=dns:///%name.merrflow.svc:%port
%end
""",
    },
    "deploy/kubernetes/overlays/gpu/engines.yaml": {
        "services": """\
%gpu
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %name
spec:
  template:
    spec:
      containers:
        - name: service
          env:
            - {name: %{prefix}ENGINE, value: %engine}%pod_variables
%end
""",
    },
    "deploy/kubernetes/overlays/gpu/kustomization.yaml": {
        "images": """\
%gpu
  - {name: merrflow/%name, newTag: %version-torch}
%end
""",
        "deployments": "  - target: {kind: Deployment, name: %gpu_pattern}\n",
        "autoscalers": "  - target: {kind: HorizontalPodAutoscaler, name: %gpu_pattern}\n",
    },
    "deploy/kubernetes/tls/kustomization.yaml": {
        "command": """\
#   deploy/make-certificates.sh deploy/kubernetes/tls/certificates \\
%each
#     %name@%name.merrflow.svc \\
%end
#     worker
""",
        "services": """\
%each
  - name: tls-%name
    files: [certificates/%name/cert.pem, certificates/%name/key.pem, certificates/%name/ca.pem,
            certificates/%name/tokens]
%end
""",
    },
    "deploy/kubernetes/tls/services.yaml": {
        "services": """\
%each
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %name
spec:
  template:
    spec:
      containers:
        - name: service
          env:
            - {name: %{prefix}TLS_CERT, value: /tls/cert.pem}
            - {name: %{prefix}TLS_KEY, value: /tls/key.pem}
            - {name: %{prefix}TLS_CLIENT_CA, value: /tls/ca.pem}
            - {name: %{prefix}TOKEN_FILE, value: /tls/tokens}
          startupProbe: {exec: {command: [python3, -m, merrflow_serving.health, %name, --alive]}, grpc: null,
                         periodSeconds: 10, timeoutSeconds: 10}
          livenessProbe: {exec: {command: [python3, -m, merrflow_serving.health, %name, --alive]}, grpc: null}
          readinessProbe: {exec: {command: [python3, -m, merrflow_serving.health, %name]}, grpc: null,
                           periodSeconds: 15, timeoutSeconds: 10}
          volumeMounts: [{name: tls, mountPath: /tls, readOnly: true}]
      volumes: [{name: tls, secret: {secretName: tls-%name}}]
%end
""",
    },
    "deploy/observability/prometheus.yml": {
        "services": """\
      - names: [%list]
        type: A
        port: %metrics_port
""",
    },
    "deploy/observability/alerts.yml": {
        "missing": """\
        expr: |
%first
          absent(up{job="merrflow", service="%name"})
%end
%rest
          or absent(up{job="merrflow", service="%name"})
%end
""",
    },
    "deploy/observability/alerts_test.yml": {
        "all up": """\
%each
      - {series: 'up{job="merrflow", service="%name", instance="%name"}', values: 1x60}
%end
""",
        "one up": """\
%first
      - {series: 'up{job="merrflow", service="%name", instance="%name"}', values: 1x10}
%end
%rest
      - {series: 'up{job="merrflow", service="%name", instance="%name"}', values: '1 1 _x8'}
%end
""",
        "missed": """\
%rest
          - exp_labels: {severity: critical, job: merrflow, service: %name}
            exp_annotations:
              summary: "%name: no replica is running"
              description: >-
                Its name resolves to no container. Start it (docker-compose up -d %name); a run waits for it.
                If it is left out on purpose, silence this alert.
%end
""",
    },
}

# Path -> the template of a file that each service has.
FILES = {"deploy/kubernetes/base/models/%name.yaml": "deploy/kubernetes/base/models/service.template"}
