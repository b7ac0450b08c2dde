{{/*
A value of a Secret that is made once and then kept: what the cluster holds already, or something random.
Arguments: root, secret, key, length (optional).
*/}}
{{- define "common.kept" -}}
{{- $present := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- $value := "" -}}
{{- with $present }}{{ $value = index (.data | default dict) $.key | default "" }}{{ end -}}
{{- $value | default (randAlphaNum (.length | default 32) | b64enc) -}}
{{- end -}}

{{/* Annotations of what outlives the release, so that installing it again finds its data. */}}
{{- define "common.keep" -}}
helm.sh/resource-policy: keep
{{- end -}}

{{/* An environment variable out of a Secret. Arguments: name, secret, key. */}}
{{- define "common.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}
