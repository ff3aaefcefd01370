{{/* Which container asks the API server, and so gets a token: no other one sees it, a sidecar of yours neither. */}}

{{/* To see whether this is an uninstall. */}}
{{- define "cdh.nodeAsksCluster" -}}
{{- if eq .Values.node.restoreOnExit "auto" }}true{{ end -}}
{{- end -}}

{{/* To write Events, and to learn of a crashed pod what its node does not know. */}}
{{- define "cdh.uploadAsksCluster" -}}
{{- if and .Values.upload.enabled (or .Values.upload.kubernetesEvents .Values.upload.podFacts) }}true{{ end -}}
{{- end -}}

{{/* What Kubernetes itself would mount into every container of the pod. */}}
{{- define "cdh.tokenVolume" -}}
- name: kube-api-access
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - { key: ca.crt, path: ca.crt }
      - downwardAPI:
          items:
            - path: namespace
              fieldRef: { fieldPath: metadata.namespace }
{{- end -}}

{{- define "cdh.tokenMount" -}}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}
