{{- define "longshore.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "longshore.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "longshore.labels" -}}
{{ include "longshore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "longshore.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "longshore.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "longshore.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "longshore.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "longshore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "longshore.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}

{{- /* What belongs together is refused where it does not agree. */ -}}
{{- define "longshore.check" -}}
{{- $deadline := printf "shutdown_deadline = \"%ds\"" (int .Values.shutdownDeadlineSeconds) }}
{{- if and (ne (int .Values.shutdownDeadlineSeconds) 25) (not (contains $deadline .Values.config)) }}
{{- fail (printf "shutdownDeadlineSeconds is %d: say %s below [worker] in config as well" (int .Values.shutdownDeadlineSeconds) $deadline) }}
{{- end }}
{{- if and (contains "shutdown_deadline" .Values.config) (not (contains $deadline .Values.config)) }}
{{- fail (printf "config says another shutdown_deadline than shutdownDeadlineSeconds, which is %d: say %s" (int .Values.shutdownDeadlineSeconds) $deadline) }}
{{- end }}
{{- if not (regexMatch "(?m)^\\s*listen = \"(0\\.0\\.0\\.0|\\[::\\]):9464\"" .Values.config) }}
{{- fail "config must say listen = \"0.0.0.0:9464\" below [http]: probes and scrapes come from outside of the pod" }}
{{- end }}
{{- if and .Values.pgbouncer.enabled (not (contains "connection = \"transaction_pooler\"" .Values.config)) }}
{{- fail "pgbouncer.enabled: say connection = \"transaction_pooler\" at the top of config" }}
{{- end }}
{{- if .Values.keda.enabled }}
{{- if and (ne .Values.keda.queue "default") (not (contains (printf "[queues.%s]" .Values.keda.queue) .Values.config)) }}
{{- fail (printf "keda.queue is %s, for which config has no section [queues.%s]" .Values.keda.queue .Values.keda.queue) }}
{{- end }}
{{- range .Values.keda.actions }}
{{- if not (contains (printf "[actions.%s]" .) $.Values.config) }}
{{- fail (printf "keda.actions names %s, for which config has no section [actions.%s]" . .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
