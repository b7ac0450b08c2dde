{{/*
A Job. The API server refuses to change its template, so its name follows from all that it is: what would be another Job, by other
values or by another version of the chart, has another name, and what has not changed is not done again. What it reads from a
ConfigMap has to be in its pod's annotations, as a checksum. Arguments: root, component, spec (text).
*/}}
{{- define "common.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "common.fullname" .root }}-{{ .component }}-{{ .spec | sha256sum | trunc 8 }}
  labels:
    {{- include "common.labels" (dict "root" .root "component" .component) | nindent 4 }}
spec:
  {{- .spec | nindent 2 }}
{{- end -}}
