{{- define "clusterdns.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "clusterdns.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selectors look for. A Deployment's selector cannot change, so nothing is in it that values change: no k8s-app. */}}
{{- define "clusterdns.selector" -}}
app.kubernetes.io/name: {{ include "clusterdns.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The label by which tools and the Services of others find DNS servers. */}}
{{- define "clusterdns.k8sApp" -}}
{{- if .Values.isClusterService -}}
k8s-app: {{ default .Chart.Name .Values.k8sAppLabelOverride }}
{{- end }}
{{- end }}

{{- define "clusterdns.labels" -}}
{{ include "clusterdns.selector" . }}
{{- with include "clusterdns.k8sApp" . }}
{{ . }}
{{- end }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- if .Values.isClusterService }}
kubernetes.io/cluster-service: "true"
kubernetes.io/name: CoreDNS
{{- end }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "clusterdns.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "clusterdns.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "clusterdns.clusterRole" -}}
{{- default (include "clusterdns.fullname" .) .Values.clusterRole.nameOverride }}
{{- end }}

{{- define "clusterdns.autoscaler" -}}
{{- printf "%s-autoscaler" (include "clusterdns.fullname" . | trunc 52 | trimSuffix "-") }}
{{- end }}

{{/* The ports of the server blocks, as a list of name, port, protocol, servicePort, nodePort, hostPort. DNS is UDP and TCP. A zone may
have a port of its own; what a server says of its port is not for that one. */}}
{{- define "clusterdns.ports" -}}
{{- $seen := dict }}
{{- range $server := .Values.servers }}
{{- $own := default 53 $server.port | int }}
{{- range $zone := default (list (dict "zone" ".")) $server.zones }}
{{- $port := regexFind ":[0-9]+$" (toString $zone.zone) | trimPrefix ":" | default $own | int }}
{{- $scheme := default "dns://" $zone.scheme }}
{{- $protocols := list "UDP" "TCP" }}
{{- if has $scheme (list "tls://" "https://" "grpc://") }}{{ $protocols = list "TCP" }}{{ end }}
{{- if has $scheme (list "quic://" "https3://") }}{{ $protocols = list "UDP" }}{{ end }}
{{- range $protocol := $protocols }}
{{- $name := printf "%s-%d" (lower $protocol) $port }}
{{- if not (hasKey $seen $name) }}
{{- $_ := set $seen $name true }}
- name: {{ $name }}
  port: {{ $port }}
  protocol: {{ $protocol }}
  {{- if and $server.servicePort (eq $port $own) }}
  servicePort: {{ $server.servicePort | int }}
  {{- end }}
  {{- if and $server.nodePort (eq $port $own) }}
  nodePort: {{ $server.nodePort | int }}
  {{- end }}
  {{- if and $server.hostPort (eq $port $own) }}
  hostPort: {{ $server.hostPort | int }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets to pull an image with: names, or objects with a name. */}}
{{- define "clusterdns.pullSecrets" -}}
{{- range . }}
- name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The plugins that listen at a port of their own, and where they do without parameters. */}}
{{- define "clusterdns.endpoints" -}}
{prometheus: 9153, health: 8080, ready: 8181, pprof: 6053, dashboard: 1054}
{{- end }}

{{/* The port of an endpoint (dict "values" … "plugin" …); empty when no block has the plugin. */}}
{{- define "clusterdns.endpoint" -}}
{{- $defaults := include "clusterdns.endpoints" . | fromYaml }}
{{- $port := "" }}
{{- range $server := .values.servers }}
{{- range $plugin := $server.plugins }}
{{- if and (eq $plugin.name $.plugin) (not $port) }}
{{- $port = regexFind "[0-9]+$" (toString (default "" $plugin.parameters)) | default (get $defaults $.plugin) }}
{{- end }}
{{- end }}
{{- end }}
{{- $port }}
{{- end }}

{{/* The port at which replicas give each other their snapshots; empty where they do not. */}}
{{- define "clusterdns.peersPort" -}}
{{- with .Values.snapshotPeers }}
{{- if .enabled }}{{ default 9154 .port | int }}{{ end }}
{{- end }}
{{- end }}

{{/* 85 % of the memory limit, for Go's heap; empty without a limit in Mi or Gi. */}}
{{- define "clusterdns.gomemlimit" -}}
{{- $limit := toString (dig "limits" "memory" "" .Values.resources) }}
{{- if hasSuffix "Mi" $limit }}
{{- printf "%dMiB" (div (mul (trimSuffix "Mi" $limit | int) 85) 100) }}
{{- else if hasSuffix "Gi" $limit }}
{{- printf "%dMiB" (div (mulf (trimSuffix "Gi" $limit | float64) 1024 85 | int) 100) }}
{{- end }}
{{- end }}
