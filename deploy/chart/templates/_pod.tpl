{{/*
What a pod with the bridge consists of. The first five are for a Deployment of your own: see README.md.
*/}}

{{/* The native sidecar: an item of initContainers. */}}
{{- define "activity-bridge.sidecar" -}}
- name: activity-bridge
  # A native sidecar: it starts before the worker and gets SIGTERM after the worker has ended.
  restartPolicy: Always
  {{- include "activity-bridge.container" . | nindent 2 }}
  lifecycle:
    preStop:
      # The kubelet calls the hooks of all containers at the same time. This one begins the drain, and returns when it is done.
      exec:
        command: ["/usr/local/bin/activity-bridge", "drain", "--config", "/etc/activity-bridge/config.toml"]
{{- end }}

{{/* The volumes of the bridge: items of volumes. */}}
{{- define "activity-bridge.volumes" -}}
- name: activity-bridge-config
  configMap:
    name: {{ include "activity-bridge.fullname" . }}
{{- if include "activity-bridge.readsSecret" . }}
- name: activity-bridge-secrets
  secret:
    secretName: {{ include "activity-bridge.secretName" . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.broker.endpoint.tlsSecret }}
- name: activity-bridge-tls
  secret:
    secretName: {{ .Values.broker.endpoint.tlsSecret }}
    defaultMode: 0440
{{- end }}
{{- if and (eq .Values.mode "sidecar") (eq .Values.store.kind "file") }}
- name: activity-bridge-tasks
  emptyDir:
    sizeLimit: {{ .Values.store.size }}
{{- end }}
{{- end }}

{{/* The lifecycle of the worker's container. */}}
{{- define "activity-bridge.workerLifecycle" -}}
preStop:
  # Blocks until the bridge has drained. So the worker gets SIGTERM when nothing is in flight any more, and no image needs a `sleep`.
  # By number, because a name would be one of the worker's own ports.
  httpGet:
    path: /drained
    port: 9464
{{- end }}

{{/* For how many seconds no task comes before the bridge of a Job ends by itself; nothing if it does not. */}}
{{- define "activity-bridge.untilIdle" -}}
{{- if and (eq .Values.mode "sidecar") (eq .Values.worker.kind "Job") (gt (int .Values.worker.untilIdleSecs) 0) -}}
{{- int .Values.worker.untilIdleSecs -}}
{{- end -}}
{{- end }}

{{/* The worker's container of the chart's own workload. */}}
{{- define "activity-bridge.worker" -}}
image: {{ .Values.worker.image }}
{{- with .Values.worker.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.worker.args }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.worker.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (include "activity-bridge.untilIdle" .) }}
lifecycle:
  {{- include "activity-bridge.workerLifecycle" . | nindent 2 }}
{{- end }}
{{- with .Values.worker.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
{{- if .Values.worker.securityContext }}
  {{- toYaml .Values.worker.securityContext | nindent 2 }}
{{- else }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
{{- end }}
{{- with .Values.worker.container }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The pod's terminationGracePeriodSeconds: in step with shutdown.grace_secs. */}}
{{- define "activity-bridge.terminationGracePeriodSeconds" -}}
{{- add (int .Values.shutdown.graceSecs) (int .Values.shutdown.moreSecs) -}}
{{- end }}

{{/* The pod's securityContext. Secrets and volumes are readable by the bridge through fsGroup. */}}
{{- define "activity-bridge.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The pod's annotations. A changed configuration makes new pods. */}}
{{- define "activity-bridge.podAnnotations" -}}
{{- if .Values.checksumAnnotation }}
checksum/activity-bridge: {{ printf "%s%s" (include "activity-bridge.config" .) (toJson .Values.secret.values) | sha256sum }}
{{- end }}
{{- if .Values.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "9464"
prometheus.io/path: /metrics
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the sidecar and the stand-alone container have in common. */}}
{{- define "activity-bridge.container" -}}
image: {{ include "activity-bridge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["run", "--config", "/etc/activity-bridge/config.toml"{{ with include "activity-bridge.untilIdle" . }}, "--until-idle", "{{ . }}"{{ end }}]
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: admin
    containerPort: 9464
{{- if and (eq .Values.mode "standalone") (eq .Values.broker.kind "endpoint") }}
  - name: amqp
    containerPort: 5672
{{- end }}
startupProbe:
  # Once true always true: the tasks of before the start are read, the queues are there, and the listener is open.
  httpGet:
    path: /started
    port: admin
  periodSeconds: 1
  failureThreshold: {{ int .Values.startupSecs }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- if .Values.readinessProbe }}
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
  - name: activity-bridge-config
    mountPath: /etc/activity-bridge
    readOnly: true
{{- if include "activity-bridge.readsSecret" . }}
  - name: activity-bridge-secrets
    mountPath: /run/secrets/activity-bridge
    readOnly: true
{{- end }}
{{- if .Values.broker.endpoint.tlsSecret }}
  - name: activity-bridge-tls
    mountPath: /run/secrets/activity-bridge-tls
    readOnly: true
{{- end }}
{{- if eq .Values.store.kind "file" }}
  - name: activity-bridge-tasks
    mountPath: /var/lib/activity-bridge
{{- end }}
{{- end }}

{{/* What all pods of this chart have in common. */}}
{{- define "activity-bridge.podSpec" -}}
serviceAccountName: {{ include "activity-bridge.serviceAccountName" . }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# shutdown.grace_secs, and the time for what ends after the drain.
terminationGracePeriodSeconds: {{ include "activity-bridge.terminationGracePeriodSeconds" . }}
securityContext:
  {{- include "activity-bridge.podSecurityContext" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "activity-bridge.podMetadata" -}}
labels:
  {{- include "activity-bridge.selectorLabels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "activity-bridge.podAnnotations" . | trim }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
