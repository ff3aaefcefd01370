{{/*
Environment from pairs: (list (list "NAME" value) …). An empty text, null and an empty list mean the program's own default
and are left out; false and 0 are values. Lists are joined with commas.
*/}}
{{- define "cdh.env" -}}
{{- range . }}
{{- $value := index . 1 }}
{{- if kindIs "slice" $value }}{{ $value = join "," $value }}{{ end }}
{{- if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) }}{{ $value = $value | int64 | toString }}{{ end }}
{{- if not (kindIs "invalid" $value) }}
{{- if ne (toString $value) "" }}
- name: {{ index . 0 }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A variable from one of the keys of a Secret that need not be there: (list "NAME" "secret" "key"). */}}
{{- define "cdh.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
      optional: true
{{- end -}}

{{- define "cdh.fieldEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    fieldRef:
      fieldPath: {{ index . 1 }}
{{- end -}}

{{/* The Secret with the store's keys: the user's, ours, or none. */}}
{{- define "cdh.storeSecret" -}}
{{- if .Values.store.existingSecret -}}
{{- .Values.store.existingSecret -}}
{{- else if include "cdh.managesSecret" . -}}
s3config
{{- end -}}
{{- end -}}

{{- define "cdh.managesSecret" -}}
{{- $d := .Values.daemonset -}}
{{- if and $d.manageStoreSecret (not .Values.store.existingSecret) (or $d.s3AccessKey $d.s3Secret $d.s3BucketName $d.s3Region) -}}
true
{{- end -}}
{{- end -}}

{{- define "cdh.storeUrl" -}}
{{- if .Values.store.url -}}
{{- .Values.store.url -}}
{{- else if include "cdh.storeVolume" . -}}
file:///store
{{- end -}}
{{- end -}}

{{/* The volume that bundles are stored on when there is no bucket. */}}
{{- define "cdh.storeVolume" -}}
{{- with .Values.store -}}
{{- if .pvc.existingClaim }}
- name: store
  persistentVolumeClaim:
    claimName: {{ .pvc.existingClaim }}
{{- else if .nfs.server }}
- name: store
  nfs:
    server: {{ .nfs.server }}
    path: {{ .nfs.path }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "cdh.storeVolumeMount" -}}
{{- if include "cdh.storeVolume" . }}
- name: store
  mountPath: /store
  {{- with .Values.store.pvc.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- if .Values.store.caConfigMap.name }}
- name: store-ca
  mountPath: /etc/core-dump-handler/store-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "cdh.storeVolumes" -}}
{{- include "cdh.storeVolume" . }}
{{- with .Values.store.caConfigMap }}
{{- if .name }}
- name: store-ca
  configMap:
    name: {{ .name }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{/* What says where the store is, for the uploader and for the test. */}}
{{- define "cdh.storeEnv" -}}
{{- $s := .Values.store -}}
{{- $secret := include "cdh.storeSecret" . -}}
{{- include "cdh.env" (list
  (list "STORE_URL" (include "cdh.storeUrl" .))
  (list "S3_BUCKET_NAME" $s.bucket)
  (list "S3_REGION" $s.region)
  (list "S3_ENDPOINT" $s.endpoint)
  (list "S3_FORCE_PATH_STYLE" $s.forcePathStyle)
  (list "S3_STORAGE_CLASS" $s.storageClass)
  (list "S3_SSE" $s.sse)
  (list "S3_SSE_KMS_KEY_ID" $s.sseKmsKeyId)
  (list "S3_CHECKSUM" $s.checksum)
  (list "S3_CA_BUNDLE" (ternary "/etc/core-dump-handler/store-ca/ca.crt" "" (ne $s.caConfigMap.name "")))
) }}
{{- if $secret }}
{{ include "cdh.secretEnv" (list "S3_ACCESS_KEY" $secret "s3AccessKey") }}
{{ include "cdh.secretEnv" (list "S3_SECRET" $secret "s3Secret") }}
{{ include "cdh.secretEnv" (list "S3_SESSION_TOKEN" $secret "s3SessionToken") }}
{{- if not $s.bucket }}
{{ include "cdh.secretEnv" (list "S3_BUCKET_NAME" $secret "s3BucketName") }}
{{- end }}
{{- if not $s.region }}
{{ include "cdh.secretEnv" (list "S3_REGION" $secret "s3Region") }}
{{- end }}
{{- if not $s.endpoint }}
{{ include "cdh.secretEnv" (list "S3_ENDPOINT" $secret "s3Endpoint") }}
{{- end }}
{{- end }}
{{- end -}}

{{/* IBM's four sizes, when given, in place of a container's own resources. */}}
{{- define "cdh.resources" -}}
{{- $image := (index . 0).Values.image -}}
{{- $resources := deepCopy (index . 1) -}}
{{- range list (list "request_mem" "requests" "memory") (list "request_cpu" "requests" "cpu") (list "limit_mem" "limits" "memory") (list "limit_cpu" "limits" "cpu") }}
{{- $given := get $image (index . 0) }}
{{- if $given }}
{{- $group := default dict (get $resources (index . 1)) }}
{{- $_ := set $resources (index . 1) (set $group (index . 2) (toString $given)) }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end -}}
