{{- define "basis.name" -}}
{{- if contains "basisdienste" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-basisdienste" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "basis.selector" -}}
app.kubernetes.io/name: basisdienste
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "basis.labels" -}}
{{ include "basis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "basis.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "basis.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "basis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Files with secrets, by the names that the configuration gives them. */}}
{{- define "basis.secretFiles" -}}
- secret: {name: {{ .root.Values.secrets.serviceKey }}, items: [{key: service_key, path: service_key}]}
{{- with .root.Values.secrets.consul }}
- secret: {name: {{ . }}, items: [{key: {{ $.name }}, path: consul_token}]}
{{- end }}
- secret: {name: {{ .root.Values.secrets.broker }}, items: [{key: {{ .name }}, path: broker_password}]}
- secret: {name: {{ .root.Values.secrets.database }}, items: [{key: {{ .name }}_url, path: database_url}]}
{{- end }}

{{- /* The section server of one service, and its own. */}}
{{- define "basis.config" -}}
{{- $v := .root.Values -}}
{{- $scheme := ternary "https" "http" (ne $v.tlsSecret "") -}}
server:
  listen: 0.0.0.0:8080
  public_url: {{ $v.publicUrl }}
  data_dir: /data
  service_key_file: /run/secrets/basis/service_key
  trusted_proxies: {{ toJson $v.trustedProxies }}
  metrics_from: {{ toJson $v.metricsNetworks }}
  drain_timeout: {{ int $v.drainSeconds }}s
  log: {level: {{ $v.log.level }}, format: json}
  {{- if $v.tlsSecret }}
  tls: {cert_file: /run/secrets/tls/tls.crt, key_file: /run/secrets/tls/tls.key, ca_file: /run/secrets/tls/ca.crt}
  {{- end }}
  database:
    url_file: /run/secrets/basis/database_url
    schema_prefix: {{ $v.database.schemaPrefix | quote }}
    connections: {{ int $v.database.connections }}
  broker:
    urls: {{ toJson $v.broker.urls }}
    user: {{ .name }}
    password_file: /run/secrets/basis/broker_password
    {{- if $v.broker.caSecret }}
    ca_file: /run/secrets/broker-ca/ca.crt
    {{- end }}
    replicas: {{ int $v.broker.replicas }}
  {{- if $v.consul.address }}
  consul:
    address: {{ $v.consul.address }}
    scheme: {{ $v.consul.scheme }}
    {{- if $v.secrets.consul }}
    token_file: /run/secrets/basis/consul_token
    {{- end }}
    {{- if $v.consul.caSecret }}
    ca_file: /run/secrets/consul-ca/ca.crt
    {{- end }}
    {{- with $v.consul.datacenter }}
    datacenter: {{ . }}
    {{- end }}
  {{- else }}
  services:
    {{- range $other, $_ := $v.services }}
    {{- if ne $other $.name }}
    {{ $other }}: {{ printf "%s://%s-%s.%s.svc:8080" $scheme (include "basis.name" $.root) $other $.root.Release.Namespace }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- with $v.telemetry.otlpEndpoint }}
  telemetry: {otlp_endpoint: {{ . | quote }}, sample_ratio: {{ $v.telemetry.sampleRatio }}}
  {{- end }}
{{- $section := deepCopy .service.config }}
{{- if eq .name "forms" }}{{ $_ := set $section "files_dir" "/files" }}{{ end }}
{{- with $section }}
{{ $.name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
