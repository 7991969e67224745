{{/* The bridge's configuration, in TOML. */}}

{{- define "activity-bridge.giveBack" -}}
{{- if kindIs "bool" .Values.shutdown.giveBack -}}
{{- .Values.shutdown.giveBack -}}
{{- else -}}
{{- and (eq .Values.mode "sidecar") (eq .Values.store.kind "file") -}}
{{- end -}}
{{- end }}

{{- define "activity-bridge.config" -}}
{{- if .Values.aws.region -}}
[aws]
region = {{ .Values.aws.region | quote }}

{{ end -}}
{{- if eq .Values.broker.kind "rabbitmq" -}}
[amqp]
uri_file = "/run/secrets/activity-bridge/amqp-uri"

{{ else if eq .Values.mode "standalone" -}}
[amqp]
listen = "{{ .Values.listenHost }}:5672"
max_connections = {{ int .Values.broker.endpoint.maxConnections }}
{{- if .Values.broker.endpoint.plaintext }}
plaintext = true
{{- end }}
{{- if .Values.broker.endpoint.tlsSecret }}

[amqp.tls]
cert_file = "/run/secrets/activity-bridge-tls/tls.crt"
key_file = "/run/secrets/activity-bridge-tls/tls.key"
{{- end }}
{{- range .Values.broker.endpoint.users }}

[[amqp.users]]
name = {{ .name | quote }}
password_file = "/run/secrets/activity-bridge/user-{{ .name }}"
{{- if hasKey . "routes" }}
routes = {{ .routes | toJson }}
{{- end }}
{{- if .parked }}
parked = true
{{- end }}
{{- end }}

{{ end -}}
[store]
{{- if eq .Values.store.kind "redis" }}
kind = "redis"
url_file = "/run/secrets/activity-bridge/redis-url"
prefix = {{ .Values.store.prefix | quote }}
{{- else }}
{{- if eq .Values.mode "sidecar" }}
# The volume survives a crash of the container, but not the end of the pod.
{{- end }}
kind = "file"
path = "/var/lib/activity-bridge/tasks.redb"
{{- end }}

[admin]
# The kubelet probes the pod's address, not its loopback.
listen = "{{ .Values.listenHost }}:9464"

[shutdown]
# At least 75, because AWS holds a poll for 60 s; less than terminationGracePeriodSeconds.
grace_secs = {{ int .Values.shutdown.graceSecs }}
{{- if and (eq .Values.mode "sidecar") (eq .Values.store.kind "file") }}
# Nobody can go on with the file of a deleted pod.
{{- end }}
give_back = {{ include "activity-bridge.giveBack" . }}

[log]
format = {{ .Values.log.format | quote }}
level = {{ .Values.log.level | quote }}

{{ required "config must hold at least one [[routes]] table" (.Values.config | trim) }}
{{- end }}
