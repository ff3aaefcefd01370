{{/* What cannot work is refused before anything is installed, all of it at once. */}}
{{- define "cdh.refuse" -}}
{{- $v := .Values -}}
{{- $d := $v.daemonset -}}
{{- $found := list -}}
{{- range list "s3AccessKey" "s3Secret" "s3BucketName" "s3Region" }}
{{- if eq (toString (get $d .)) "XXX" }}
{{- $found = append $found (printf "daemonset.%s is the placeholder XXX of the old chart: give the value, or leave it empty" .) }}
{{- end }}
{{- end }}
{{- if contains "icdh/core-dump-handler" $v.image.repository }}
{{- $found = append $found "image.repository names IBM's image, whose programs are others: remove image.registry, image.repository and image.tag from your values" }}
{{- end }}
{{- if not (or $v.image.registry (regexMatch "^([^/]*[.:][^/]*|localhost)/" $v.image.repository) (eq $v.image.pullPolicy "Never")) }}
{{- $found = append $found (printf "image.registry is empty, so %s would be whatever the nodes' runtime finds under that name: set image.registry, or image.pullPolicy=Never where the image lies on the nodes" $v.image.repository) }}
{{- end }}
{{- if and $v.store.pvc.existingClaim $v.store.nfs.server }}
{{- $found = append $found "store.pvc and store.nfs are both given: choose one" }}
{{- end }}
{{- if and (include "cdh.storeVolume" .) (regexMatch "^(s3|gs|azblob)://" $v.store.url) }}
{{- $found = append $found "store.url is a bucket, but a volume is given as well (store.pvc or store.nfs): choose one" }}
{{- end }}
{{- if and (include "cdh.storeUrl" .) $v.store.bucket (ne $v.store.url (printf "s3://%s" $v.store.bucket)) (not (hasPrefix (printf "s3://%s/" $v.store.bucket) $v.store.url)) }}
{{- $found = append $found "two stores: store.bucket, and store.url or a volume. Leave store.bucket empty, s3://bucket/prefix names the bucket too" }}
{{- end }}
{{- range $rule := $v.store.rules }}
{{- if eq $rule.name "default" }}
{{- $found = append $found "store.rules: default is the name of the store of store.url" }}
{{- end }}
{{- if and (hasPrefix "file://" $rule.store) $rule.existingSecret }}
{{- $found = append $found (printf "store.rules: %s is a directory, which has no secret: leave existingSecret out" $rule.name) }}
{{- end }}
{{- if and (hasPrefix "file://" $rule.store) (not $d.extraVolumes) }}
{{- $found = append $found (printf "store.rules: %s is a directory, but there is no volume for it: set daemonset.extraVolumes and upload.extraVolumeMounts" $rule.name) }}
{{- end }}
{{- end }}
{{- $ruleNames := list }}
{{- range $v.store.rules }}{{ $ruleNames = append $ruleNames .name }}{{ end }}
{{- if ne (len $ruleNames) (len (uniq $ruleNames)) }}
{{- $found = append $found "store.rules: two rules have the same name" }}
{{- end }}
{{- if and (hasPrefix "azblob://" $v.store.url) (not (or $v.store.azure.account $v.store.azure.endpoint $v.store.existingSecret $d.envFrom $d.extraEnvVars $v.upload.extraEnv)) }}
{{- $found = append $found "store.url is a container of Azure, but there is no account: set store.azure.account, or store.existingSecret with azureStorageConnectionString" }}
{{- end }}
{{- if and $v.store.nfs.server (not (hasPrefix "/" $v.store.nfs.path)) }}
{{- $found = append $found "store.nfs.path is needed: the directory that the server exports" }}
{{- end }}
{{- if and (hasPrefix "file://" $v.store.url) (not (include "cdh.storeVolume" .)) (not $d.extraVolumes) }}
{{- $found = append $found "store.url is a directory, but there is no volume for it: set store.pvc or store.nfs" }}
{{- end }}
{{- if and $v.upload.enabled (not (or (include "cdh.storeUrl" .) $v.store.bucket (include "cdh.storeSecret" .) $d.envFrom $d.extraEnvVars $v.upload.extraEnv)) }}
{{- $found = append $found "there is no store: set store.url (s3://bucket/prefix, gs://bucket/prefix, azblob://container/prefix), store.existingSecret, store.pvc or store.nfs; or upload.enabled=false to leave bundles on the nodes" }}
{{- end }}
{{- if and $d.s3AccessKey (not $d.s3Secret) }}
{{- $found = append $found "daemonset.s3AccessKey is given without daemonset.s3Secret" }}
{{- end }}
{{- if and $d.interval $d.schedule }}
{{- $found = append $found "daemonset.interval and daemonset.schedule are both given: set one of them to null" }}
{{- end }}
{{- if eq (int $v.node.metricsPort) (int $v.upload.metricsPort) }}
{{- $found = append $found (printf "node.metricsPort and upload.metricsPort are both %d: the containers of a pod share their ports" (int $v.node.metricsPort)) }}
{{- end }}
{{- if lt (int $d.terminationGracePeriodSeconds) (int (add $v.upload.shutdownGrace 10)) }}
{{- $found = append $found (printf "daemonset.terminationGracePeriodSeconds is %d, less than upload.shutdownGrace (%d) and 10 more" (int $d.terminationGracePeriodSeconds) (int $v.upload.shutdownGrace)) }}
{{- end }}
{{- with include "cdh.refuseApi" . | fromJsonArray }}
{{- $found = concat $found . }}
{{- end }}
{{- if $found }}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " $found)) }}
{{- end }}
{{- end -}}
