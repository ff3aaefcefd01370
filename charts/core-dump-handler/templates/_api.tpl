{{/* The API's names and the parts that several of its objects share. */}}
{{- define "cdh.api" -}}
{{- include "cdh.suffixed" (list . "-api") -}}
{{- end -}}

{{- define "cdh.apiServiceAccount" -}}
{{- default (include "cdh.api" .) .Values.api.serviceAccount.name -}}
{{- end -}}

{{- define "cdh.apiTlsSecret" -}}
{{- if eq .Values.api.tls.source "secret" -}}
{{- .Values.api.tls.existingSecret -}}
{{- else -}}
{{- include "cdh.suffixed" (list . "-api-tls") -}}
{{- end -}}
{{- end -}}

{{- define "cdh.apiLease" -}}
{{- include "cdh.suffixed" (list . "-retention") -}}
{{- end -}}

{{/* The API's pods are no pods of the DaemonSet, so they share none of its selector. */}}
{{- define "cdh.apiSelector" -}}
app.kubernetes.io/name: {{ include "cdh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: api
{{- end -}}

{{- define "cdh.apiLabels" -}}
{{ include "cdh.labels" . }}
app.kubernetes.io/component: api
{{- end -}}

{{/* Names that a caller may use for the Service. */}}
{{- define "cdh.apiDnsNames" -}}
{{- $name := include "cdh.api" . -}}
{{- list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) | toJson -}}
{{- end -}}

{{/* What becomes of the index in the store: a store that may only be read holds what others wrote. */}}
{{- define "cdh.apiIndex" -}}
{{- ternary "read" .Values.api.index (and .Values.api.store.readOnly (eq .Values.api.index "write")) -}}
{{- end -}}

{{/* Whether one of the replicas does what the others must not. */}}
{{- define "cdh.apiLeads" -}}
{{- if or .Values.api.retention.enabled (eq (include "cdh.apiIndex" .) "write") }}true{{ end -}}
{{- end -}}

{{/* Whether changes are noted in the store: where the API reads it, unless somebody says otherwise. */}}
{{- define "cdh.notices" -}}
{{- ternary .Values.upload.notices .Values.api.enabled (kindIs "bool" .Values.upload.notices) -}}
{{- end -}}

{{/* The store as the API is told: the uploader's, with keys of its own when it has some. */}}
{{- define "cdh.apiStore" -}}
{{- $values := deepCopy .Values -}}
{{- with .Values.api.store.existingSecret }}{{ $_ := set $values.store "existingSecret" . }}{{ end -}}
{{- include "cdh.storeEnv" (dict "Values" $values) -}}
{{- end -}}

{{- define "cdh.apiStoreVolumes" -}}
{{- $values := deepCopy .Values -}}
{{- with .Values.api.store.existingSecret }}{{ $_ := set $values.store "existingSecret" . }}{{ end -}}
{{- include "cdh.storeVolumes" (dict "Values" $values) -}}
{{- end -}}

{{/* What of the API's values cannot work: a JSON list of texts. */}}
{{- define "cdh.refuseApi" -}}
{{- $v := .Values -}}
{{- $a := $v.api -}}
{{- $r := $a.retention -}}
{{- $found := list -}}
{{- if not $a.enabled }}
{{- if $r.enabled }}
{{- $found = append $found "api.retention.enabled needs api.enabled: retention runs in the API's pods" }}
{{- end }}
{{- if $a.ingress.enabled }}
{{- $found = append $found "api.ingress.enabled needs api.enabled" }}
{{- end }}
{{- else }}
{{- if not (or (include "cdh.storeUrl" .) $v.store.bucket (include "cdh.storeSecret" .) $a.store.existingSecret $a.envFrom $a.extraEnv) }}
{{- $found = append $found "api.enabled, but there is no store to read: set store.url, store.existingSecret, store.pvc or store.nfs" }}
{{- end }}
{{- if and (hasPrefix "file://" $v.store.url) (not (include "cdh.storeVolume" .)) (not $a.extraVolumes) }}
{{- $found = append $found "store.url is a directory, but the API has no volume for it: set store.pvc, store.nfs or api.extraVolumes" }}
{{- end }}
{{- if eq $a.tls.source "secret" }}
{{- if not $a.tls.existingSecret }}
{{- $found = append $found "api.tls.source is secret, but api.tls.existingSecret names none" }}
{{- end }}
{{- if and $a.aggregation (not (contains "BEGIN CERTIFICATE" $a.tls.caBundle)) }}
{{- $found = append $found "api.tls.caBundle is needed with api.tls.source=secret: the PEM text of the authority, for kube-apiserver" }}
{{- end }}
{{- end }}
{{- if eq (int $a.port) (int $a.metricsPort) }}
{{- $found = append $found (printf "api.port and api.metricsPort are both %d" (int $a.port)) }}
{{- end }}
{{- if and $a.ingress.enabled (not $a.ingress.host) }}
{{- $found = append $found "api.ingress.host is needed: the page must not be served under every name" }}
{{- end }}
{{- if $r.enabled }}
{{- if $a.store.readOnly }}
{{- $found = append $found "api.retention.enabled cannot remove anything with api.store.readOnly" }}
{{- end }}
{{- if not (or $r.maxAge $r.maxCount $r.maxBytes $r.namespaces (include "cdh.given" $r.namespaceGoneGrace) (include "cdh.given" $r.podGoneGrace) $r.orphanGrace $r.filesGrace) }}
{{- $found = append $found "api.retention.enabled, but nothing says what may be removed: set maxAge, maxCount, maxBytes, namespaces or one of the graces" }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $found -}}
{{- end -}}

{{/* Rules that give programs and debug info by build-id, and their names. */}}
{{- define "cdh.apiFileRules" -}}
- apiGroups: [core-dump-handler.dev]
  resources: [buildid/executable, buildid/debuginfo, buildid/dwp, buildid/section]
  verbs: [get]
- apiGroups: [core-dump-handler.dev]
  resources: [metadata]
  verbs: [list]
{{- end -}}

{{/* The service account of debuggers. */}}
{{- define "cdh.apiDebuginfo" -}}
{{- include "cdh.suffixed" (list . "-debuginfo") -}}
{{- end -}}

{{/* Whether a value is given: 0 is one, an empty text and null are none. */}}
{{- define "cdh.given" -}}
{{- if not (kindIs "invalid" .) }}{{ if ne (toString .) "" }}true{{ end }}{{ end -}}
{{- end -}}
