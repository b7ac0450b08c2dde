{{/*
Only who is named may come in, and only to the port that is for them.
Arguments: root, component, name, rules: list of dict "port" and "from" (list of label sets).
*/}}
{{- define "common.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels:
    {{- include "common.labels" (dict "root" .root "component" .component) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "common.selector" (dict "root" .root "component" .component) | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    {{- range .rules }}
    - ports:
        - port: {{ .port }}
      {{- if .from }}
      from:
        {{- range .from }}
        - podSelector:
            matchLabels:
              {{- toYaml . | nindent 14 }}
        {{- end }}
      {{- end }}
    {{- end }}
{{- end -}}

{{/* Nobody may come in to any pod of a chart but where another policy lets them. */}}
{{- define "common.denyAll" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "common.fullname" . }}-deny
  labels:
    {{- include "common.labels" (dict "root" .) | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "common.selector" (dict "root" .) | nindent 6 }}
  policyTypes: [Ingress]
{{- end -}}

{{/*
Of several pods only one may be drained at a time. A single one may be drained as well: it could not be otherwise, and starts elsewhere.
Arguments: root, component, name.
*/}}
{{- define "common.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "common.labels" (dict "root" .root "component" .component) | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "common.selector" (dict "root" .root "component" .component) | nindent 6 }}
{{- end -}}
