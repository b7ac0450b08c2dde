{{/* The service of a chart's one server. Arguments: root, name and number of the port; its container's port has the same name. */}}
{{- define "common.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "common.fullname" .root }}
  labels:
    {{- include "common.labels" (dict "root" .root "component" "server") | nindent 4 }}
spec:
  selector:
    {{- include "common.selector" (dict "root" .root "component" "server") | nindent 4 }}
  ports:
    - name: {{ .name }}
      port: {{ .number }}
      targetPort: {{ .name }}
{{- end -}}
