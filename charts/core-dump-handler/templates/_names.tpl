{{/* Names. Kubernetes allows 63 characters in a label's value, so no name of ours is longer. */}}
{{- define "cdh.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "cdh.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A name made of the full name and a suffix: (list $ "-metrics"). The suffix is never cut. A full name that has to be cut for it
gets six digits of its hash, so that two releases whose long names begin alike do not meet.
*/}}
{{- define "cdh.suffixed" -}}
{{- $suffix := index . 1 -}}
{{- $full := include "cdh.fullname" (index . 0) -}}
{{- $room := int (sub 63 (len $suffix)) -}}
{{- if gt (len $full) $room -}}
{{- printf "%s-%s%s" ($full | trunc (int (sub $room 7)) | trimSuffix "-") ($full | sha256sum | trunc 6) $suffix -}}
{{- else -}}
{{- printf "%s%s" $full $suffix -}}
{{- end -}}
{{- end -}}

{{- define "cdh.daemonSet" -}}
{{- default (include "cdh.fullname" .) .Values.daemonset.name -}}
{{- end -}}

{{- define "cdh.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "cdh.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "cdh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* IBM's selector, so that its release can be upgraded to this chart: a DaemonSet's selector cannot change. */}}
{{- define "cdh.selector" -}}
name: {{ .Values.daemonset.label | quote }}
{{- end -}}

{{- define "cdh.coreDir" -}}
{{- default (printf "%s/cores" (trimSuffix "/" .Values.daemonset.hostDirectory)) .Values.daemonset.coreDirectory -}}
{{- end -}}

{{- define "cdh.eventDir" -}}
{{- default (printf "%s/events" (trimSuffix "/" .Values.daemonset.hostDirectory)) .Values.daemonset.eventDirectory -}}
{{- end -}}

{{- define "cdh.eventRole" -}}
{{- default (include "cdh.suffixed" (list . "-event-reporter")) .Values.clusterRole.name -}}
{{- end -}}

{{/* Whether the kernel writes plain cores: said so, or by the profile. */}}
{{- define "cdh.fileMode" -}}
{{- with .Values.node -}}
{{- if or (eq .mode "file") (and (eq .mode "") (eq .profile "bottlerocket")) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Pull secrets: texts, or objects with a name. */}}
{{- define "cdh.pullSecrets" -}}
{{- range . }}
- name: {{ ternary . (get (ternary dict . (kindIs "string" .)) "name") (kindIs "string" .) }}
{{- end }}
{{- end -}}

{{/* Values that only IBM's chart has: who gives one comes from there. */}}
{{- define "cdh.fromIbm" -}}
{{- $d := .Values.daemonset -}}
{{- if or .Values.hostStorage .Values.coreStorage .Values.eventStorage .Values.storageClass .Values.composer.crioImageCmd $d.hostContainerRuntimeEndpoint (ne (default "default" $d.vendor) "default") -}}
true
{{- end -}}
{{- end -}}

{{/* IBM's composer keeps whole cores whatever the process's own limit: a switch must not turn them into empty ones. */}}
{{- define "cdh.rlimitCore" -}}
{{- if .Values.composer.rlimitCore -}}
{{- .Values.composer.rlimitCore -}}
{{- else if include "cdh.fromIbm" . -}}
ignore
{{- end -}}
{{- end -}}
