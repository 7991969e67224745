{{/* Names and labels. */}}

{{- define "activity-bridge.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The workload, and what belongs to its pods: the worker's in mode sidecar. */}}
{{- define "activity-bridge.workload" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- .Values.worker.name | default .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- include "activity-bridge.fullname" . -}}
{{- end -}}
{{- end }}

{{- define "activity-bridge.selectorLabels" -}}
{{- if .Values.selectorLabels -}}
{{- toYaml .Values.selectorLabels -}}
{{- else -}}
app.kubernetes.io/name: {{ include "activity-bridge.workload" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end }}

{{- define "activity-bridge.labels" -}}
app.kubernetes.io/name: {{ include "activity-bridge.workload" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: activity-bridge
{{- end }}

{{- define "activity-bridge.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "activity-bridge.workload" .) -}}
{{- end }}

{{- define "activity-bridge.secretName" -}}
{{- .Values.secret.existing | default (include "activity-bridge.fullname" .) -}}
{{- end }}

{{- define "activity-bridge.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* "true" where the bridge reads a Secret. */}}
{{- define "activity-bridge.readsSecret" -}}
{{- $endpoint := and (eq .Values.broker.kind "endpoint") (eq .Values.mode "standalone") -}}
{{- if or (eq .Values.broker.kind "rabbitmq") (eq .Values.store.kind "redis") $endpoint -}}true{{- end -}}
{{- end }}
