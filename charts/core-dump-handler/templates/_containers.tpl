{{/* The privileged container. Everything that it changes on the node lies below daemonset.hostDirectory and in three kernel values. */}}
{{- define "cdh.nodeContainer" -}}
{{- $v := .Values -}}
{{- $d := $v.daemonset -}}
{{- $c := $v.composer -}}
- name: node
  image: {{ include "cdh.image" . | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  command: [/opt/core-dump-handler/bin/cdh-sysctl, watch]
  env:
    {{- include "cdh.fieldEnv" (list "POD_NAME" "metadata.name") | nindent 4 }}
    {{- include "cdh.fieldEnv" (list "POD_NAMESPACE" "metadata.namespace") | nindent 4 }}
    {{- include "cdh.fieldEnv" (list "COMP_NODE_NAME" "spec.nodeName") | nindent 4 }}
    {{- include "cdh.env" (list
      (list "DAEMONSET_NAME" (include "cdh.daemonSet" .))
      (list "ROLE_BINDING_NAME" (ternary (include "cdh.suffixed" (list . "-uninstall")) "" (and $v.rbac.create (eq $v.node.restoreOnExit "auto"))))
      (list "HOST_ROOT" "/host")
      (list "PROC_ROOT" "/host/proc")
      (list "HOST_DIR" $d.hostDirectory)
      (list "CORE_DIR" (include "cdh.coreDir" .))
      (list "EVENT_DIR" (include "cdh.eventDir" .))
      (list "PROFILE" $v.node.profile)
      (list "MODE" $v.node.mode)
      (list "SUID_DUMPABLE" $d.suidDumpable)
      (list "CORE_PIPE_LIMIT" $v.node.corePipeLimit)
      (list "DEPLOY_CRIO_CONFIG" $d.deployCrioConfig)
      (list "DEPLOY_CRIO_EXE" (and $d.includeCrioExe (ne $v.node.crictl "")))
      (list "CRICTL" $v.node.crictl)
      (list "CRIO_ENDPOINT" $d.crioEndpoint)
      (list "WATCH_INTERVAL" $v.node.watchInterval)
      (list "SELF_TEST_INTERVAL" $v.node.selfTestInterval)
      (list "RESTORE_ON_EXIT" $v.node.restoreOnExit)
      (list "METRICS_ADDR" (printf ":%d" (int $v.node.metricsPort)))
      (list "LOG_LEVEL" (lower $v.node.logLevel))
      (list "LOG_FORMAT" $v.node.logFormat)
      (list "COMP_CLUSTER_NAME" $v.clusterName)
      (list "COMP_LOG_LEVEL" $c.logLevel)
      (list "COMP_POD_SELECTOR_LABEL" $c.podSelectorLabel)
      (list "COMP_NAMESPACE_INCLUDE" $c.namespaceInclude)
      (list "COMP_NAMESPACE_EXCLUDE" $c.namespaceExclude)
      (list "COMP_COMM_EXCLUDE" $c.commExclude)
      (list "COMP_SIGNAL_EXCLUDE" $c.signalExclude)
      (list "COMP_HOST_CRASHES" $c.hostCrashes)
      (list "COMP_CORE_SIZE_MAX" $c.coreSizeMax)
      (list "COMP_MEMORY_MAX" $c.memoryMax)
      (list "COMP_MAX_USE" $c.maxUse)
      (list "COMP_KEEP_FREE" $c.keepFree)
      (list "COMP_KEEP_FREE_INODES" $c.keepFreeInodes)
      (list "COMP_RATE_LIMIT" $c.rateLimit)
      (list "COMP_RATE_LIMIT_POD" $c.rateLimitPod)
      (list "COMP_RATE_LIMIT_NAMESPACE" $c.rateLimitNamespace)
      (list "COMP_KEEP_PER_SITE" $c.keepPerSite)
      (list "COMP_TAKE" $c.take)
      (list "COMP_TAKE_KILL_ABOVE" $c.takeKillAbove)
      (list "COMP_RLIMIT_CORE" (include "cdh.rlimitCore" .))
      (list "COMP_SPOOL_GROUP" $c.spoolGroup)
      (list "COMP_WATCH_LEASE" $c.watchLease)
      (list "COMP_COMPRESSION" $c.compression)
      (list "COMP_COMPRESSION_LEVEL" $c.compressionLevel)
      (list "COMP_COMPRESSION_THREADS" $c.compressionThreads)
      (list "COMP_CONCURRENCY" $c.concurrency)
      (list "COMP_TIMEOUT" $c.timeout)
      (list "COMP_METADATA_TIMEOUT" $c.metadataTimeout)
      (list "COMP_LOG_LENGTH" $c.logLength)
      (list "COMP_STACK" $c.stack)
      (list "COMP_MESSAGE" $c.message)
      (list "COMP_ARTEFACTS" $c.artefacts)
      (list "COMP_BINARIES" $c.binaries)
      (list "COMP_BINARIES_MAX" $c.binariesMax)
      (list "COMP_INCLUDE_PROC_INFO" $c.includeProcInfo)
      (list "COMP_FILENAME_TEMPLATE" $c.filenameTemplate)
      (list "COMP_IGNORE_CRIO" $c.ignoreCrio)
      (list "COMP_USE_CRIO_CONF" $d.deployCrioConfig)
      (list "COMP_CRIO_IMAGE_CMD" $c.crioImageCmd)
      (list "COMP_CORE_EVENTS" $c.coreEvents)
    ) | trim | nindent 4 }}
    {{- with $d.extraEnvVars }}
    {{- tpl . $ | trim | nindent 4 }}
    {{- end }}
    {{- with $v.node.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: node
      containerPort: {{ int $v.node.metricsPort }}
  # The first install copies the composer and proves it; the port is open afterwards.
  startupProbe:
    tcpSocket: { port: node }
    periodSeconds: 3
    failureThreshold: 60
  # A node that is not well is not healed by a restart: that is what readiness and the alert tell.
  livenessProbe:
    tcpSocket: { port: node }
    periodSeconds: 30
    timeoutSeconds: 5
    failureThreshold: 4
  readinessProbe:
    httpGet: { path: /healthz, port: node }
    periodSeconds: 10
    timeoutSeconds: 5
  resources:
    {{- include "cdh.resources" (list . $v.node.resources) | nindent 4 }}
  securityContext:
    privileged: true
    runAsUser: 0
    runAsNonRoot: false
    readOnlyRootFilesystem: true
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    # Never Bidirectional: nothing that is mounted here may reach the node.
    - name: host-root
      mountPath: /host
      mountPropagation: {{ $v.node.hostRootPropagation }}
    {{- if include "cdh.nodeAsksCluster" . }}
    {{- include "cdh.tokenMount" . | nindent 4 }}
    {{- end }}
    {{- with $v.node.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The unprivileged container. It is root without a single capability: the spool belongs to root and is closed to everybody
else, and as the owner it may read, rename and delete there without any. Plain cores (file mode) belong to other users.
*/}}
{{- define "cdh.uploadContainer" -}}
{{- $v := .Values -}}
{{- $u := $v.upload -}}
{{- $d := $v.daemonset -}}
{{- $add := $u.addCapabilities -}}
{{- if include "cdh.fileMode" . }}{{ $add = append $add "DAC_READ_SEARCH" | uniq }}{{ end -}}
- name: upload
  image: {{ include "cdh.image" . | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  command: [/opt/core-dump-handler/bin/cdh-upload, run]
  env:
    {{- include "cdh.fieldEnv" (list "NODE_NAME" "spec.nodeName") | nindent 4 }}
    {{- include "cdh.env" (list
      (list "CORE_DIR" (include "cdh.coreDir" .))
      (list "CLUSTER_NAME" $v.clusterName)
      (list "S3_KEY_TEMPLATE" $v.store.keyTemplate)
      (list "STORE_RULES" (ternary "/etc/core-dump-handler/store-rules/rules.json" "" (gt (len $v.store.rules) 0)))
      (list "USE_INOTIFY" $d.useINotify)
      (list "INTERVAL" $d.interval)
      (list "SCHEDULE" $d.schedule)
      (list "UPLOAD_CONCURRENCY" $u.concurrency)
      (list "PART_CONCURRENCY" $u.partConcurrency)
      (list "PART_SIZE" $u.partSize)
      (list "BANDWIDTH_LIMIT" $u.bandwidthLimit)
      (list "STORE_TIMEOUT" $u.storeTimeout)
      (list "KEEP_UPLOADED" $u.keepUploaded)
      (list "NOTICES" (include "cdh.notices" .))
      (list "MAX_USE" $u.maxUse)
      (list "KEEP_FREE" $u.keepFree)
      (list "QUARANTINE_MAX_USE" $u.quarantineMaxUse)
      (list "QUARANTINE_ATTEMPTS" $u.quarantineAttempts)
      (list "VACUUM_UNSENT" $u.vacuumUnsent)
      (list "SHUTDOWN_GRACE" $u.shutdownGrace)
      (list "SYSTEMD_COREDUMP_DIR" (ternary "/var/lib/systemd/coredump" "" $u.systemdCoredump))
      (list "HOST_ROOT" (ternary "/host" "" $u.systemdCoredump))
      (list "JOURNAL_DIRECTORY" (ternary "/host/var/log/journal" "" $u.systemdCoredump))
      (list "MESSAGE" $v.composer.message)
      (list "KUBERNETES_EVENTS" $u.kubernetesEvents)
      (list "API_ENABLED" $v.api.enabled)
      (list "POD_FACTS" $u.podFacts)
      (list "METRICS_ADDR" (printf ":%d" (int $u.metricsPort)))
      (list "LOG_LEVEL" (lower $u.logLevel))
      (list "LOG_FORMAT" $u.logFormat)
    ) | trim | nindent 4 }}
    # Empty means none here, so it is always said.
    - name: WATCH_PATTERN
      value: {{ $u.watchPattern | quote }}
    {{- with include "cdh.storeEnv" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $u.webhook }}
    {{- if .existingSecret }}
    - name: WEBHOOK_URL
      valueFrom:
        secretKeyRef:
          name: {{ .existingSecret }}
          key: {{ .key }}
    {{- end }}
    {{- end }}
    {{- with $d.extraEnvVars }}
    {{- tpl . $ | trim | nindent 4 }}
    {{- end }}
    {{- with $u.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $d.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: upload
      containerPort: {{ int $u.metricsPort }}
  startupProbe:
    httpGet: { path: /healthz, port: upload }
    periodSeconds: 3
    failureThreshold: 20
  livenessProbe:
    httpGet: { path: /healthz, port: upload }
    periodSeconds: 30
    timeoutSeconds: 5
    failureThreshold: 4
  readinessProbe:
    httpGet: { path: /readyz, port: upload }
    periodSeconds: 10
    timeoutSeconds: 5
  resources:
    {{- include "cdh.resources" (list . $u.resources) | nindent 4 }}
  securityContext:
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsUser: 0
    runAsNonRoot: false
    capabilities:
      drop: [ALL]
      {{- with $add }}
      add:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    seccompProfile:
      type: RuntimeDefault
    {{- with $u.seLinuxOptions }}
    seLinuxOptions:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: core-volume
      mountPath: {{ include "cdh.coreDir" . }}
    {{- if include "cdh.uploadAsksCluster" . }}
    {{- include "cdh.tokenMount" . | nindent 4 }}
    {{- end }}
    {{- if $u.systemdCoredump }}
    - name: systemd-coredump
      mountPath: /var/lib/systemd/coredump
      readOnly: true
    # Only the journal knows which cgroup crashed, and only the node's own journalctl is sure to read it.
    - name: node-logs
      mountPath: /host/var/log
      readOnly: true
    - name: node-programs
      mountPath: /host/usr
      readOnly: true
    {{- end }}
    {{- with include "cdh.storeVolumeMount" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with include "cdh.storeRulesMounts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $u.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* A container of the user's, with the spool mounted unless it mounts it itself. */}}
{{- define "cdh.sidecar" -}}
{{- $root := index . 0 -}}
{{- $container := index . 1 -}}
{{- $mounts := default list $container.volumeMounts -}}
{{- $names := list -}}
{{- range $mounts }}{{ $names = append $names .name }}{{ end -}}
{{- if not (has "core-volume" $names) }}
{{- $mounts = append $mounts (dict "name" "core-volume" "mountPath" (include "cdh.coreDir" $root)) }}
{{- end }}
{{- if and $root.Values.composer.coreEvents (not (has "event-volume" $names)) }}
{{- $mounts = append $mounts (dict "name" "event-volume" "mountPath" (include "cdh.eventDir" $root)) }}
{{- end }}
{{- toYaml (list (merge (dict "volumeMounts" $mounts) $container)) }}
{{- end -}}
