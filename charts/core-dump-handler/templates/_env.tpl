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
{{- if include "cdh.storeSecret" . }}
- name: store-keys
  mountPath: /etc/core-dump-handler/store-keys
  readOnly: true
{{- end }}
{{- if .Values.store.caConfigMap.name }}
- name: store-ca
  mountPath: /etc/core-dump-handler/store-ca
  readOnly: true
{{- end }}
{{- if .Values.store.gcs.credentialsSecret }}
- name: store-gcs
  mountPath: /etc/core-dump-handler/gcs
  readOnly: true
{{- end }}
{{- end -}}

{{- define "cdh.storeVolumes" -}}
{{- include "cdh.storeVolume" . }}
{{- with include "cdh.storeSecret" . }}
{{/* As files, because the environment of a container never changes: keys may be rotated without a restart. */}}
- name: store-keys
  secret:
    secretName: {{ . }}
    # The API is not root; nobody else is in the container.
    defaultMode: 0444
    optional: true
    items:
      - { key: s3AccessKey, path: s3AccessKey }
      - { key: s3Secret, path: s3Secret }
      - { key: s3SessionToken, path: s3SessionToken }
{{- end }}
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
{{- with .Values.store.gcs.credentialsSecret }}
- name: store-gcs
  secret:
    secretName: {{ . }}
    items:
      - key: credentials.json
        path: credentials.json
{{- end }}
{{- end -}}

{{/* The rules of stores, as the uploader reads them. */}}
{{- define "cdh.storeRules" -}}
{{- $rules := list -}}
{{- range .Values.store.rules }}
{{- $rule := omit . "existingSecret" -}}
{{- if .existingSecret }}{{ $_ := set $rule "secretDir" (printf "/etc/core-dump-handler/store-secrets/%s" .name) }}{{ end -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- dict "rules" $rules | toPrettyJson -}}
{{- end -}}

{{- define "cdh.storeRulesName" -}}
{{ include "cdh.suffixed" (list . "-store-rules") }}
{{- end -}}

{{- define "cdh.storeRulesMounts" -}}
{{- with .Values.store.rules }}
- name: store-rules
  mountPath: /etc/core-dump-handler/store-rules
  readOnly: true
{{- range $index, $rule := . }}
{{- if $rule.existingSecret }}
- name: store-secret-{{ $index }}
  mountPath: /etc/core-dump-handler/store-secrets/{{ $rule.name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cdh.storeRulesVolumes" -}}
{{- if .Values.store.rules }}
- name: store-rules
  configMap:
    name: {{ include "cdh.storeRulesName" . | trim }}
{{- range $index, $rule := .Values.store.rules }}
{{- if $rule.existingSecret }}
- name: store-secret-{{ $index }}
  secret:
    secretName: {{ $rule.existingSecret }}
    # 0400: the kubelet takes it as a number.
    defaultMode: 256
    # A tenant's Secret that is missing stops that tenant's uploads, and nobody else's pod.
    optional: true
{{- end }}
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
  (list "AZURE_STORAGE_ACCOUNT" $s.azure.account)
  (list "AZURE_STORAGE_ENDPOINT" $s.azure.endpoint)
  (list "AZURE_ACCESS_TIER" $s.azure.accessTier)
  (list "AZURE_ENCRYPTION_SCOPE" $s.azure.encryptionScope)
  (list "AZURE_BLOB_TAGS" $s.azure.blobTags)
  (list "GCS_ENDPOINT" $s.gcs.endpoint)
  (list "GCS_KMS_KEY" $s.gcs.kmsKey)
  (list "GCS_STORAGE_CLASS" $s.gcs.storageClass)
  (list "GCS_ACLS" $s.gcs.acls)
  (list "GOOGLE_APPLICATION_CREDENTIALS" (ternary "/etc/core-dump-handler/gcs/credentials.json" "" (ne $s.gcs.credentialsSecret "")))
  (list "S3_CA_BUNDLE" (ternary "/etc/core-dump-handler/store-ca/ca.crt" "" (ne $s.caConfigMap.name "")))
) }}
{{- if and $secret (hasPrefix "azblob://" $s.url) }}
{{ include "cdh.secretEnv" (list "AZURE_STORAGE_KEY" $secret "azureStorageKey") }}
{{ include "cdh.secretEnv" (list "AZURE_STORAGE_SAS_TOKEN" $secret "azureStorageSasToken") }}
{{ include "cdh.secretEnv" (list "AZURE_STORAGE_CONNECTION_STRING" $secret "azureStorageConnectionString") }}
{{ include "cdh.secretEnv" (list "AZURE_CUSTOMER_PROVIDED_KEY" $secret "azureCustomerProvidedKey") }}
{{- else if $secret }}
{{ include "cdh.env" (list (list "S3_KEYS_DIR" "/etc/core-dump-handler/store-keys")) }}
{{ include "cdh.secretEnv" (list "S3_ACCESS_KEY" $secret "s3AccessKey") }}
{{ include "cdh.secretEnv" (list "S3_SECRET" $secret "s3Secret") }}
{{ include "cdh.secretEnv" (list "S3_SESSION_TOKEN" $secret "s3SessionToken") }}
{{- if not (or $s.bucket (include "cdh.storeUrl" .)) }}
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
