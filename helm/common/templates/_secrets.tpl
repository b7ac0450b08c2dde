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

{{/* Whether data, passwords and keys outlive the release, so that installing it again finds them: "true" or nothing. */}}
{{- define "common.kept.after" -}}
{{- $global := .Values.global | default dict -}}
{{- if or (not (hasKey $global "keepOnUninstall")) $global.keepOnUninstall }}true{{ end -}}
{{- end -}}

{{/* Annotations of what outlives the release. */}}
{{- define "common.keep" -}}
{{- if include "common.kept.after" . }}
  annotations:
    helm.sh/resource-policy: keep
{{- end }}
{{- end -}}

{{/*
Say that a Secret is missing, or a key in it, before pods wait for it. Only a name that was given is asked for, as those by default
are made by this very installation; and only where helm talks to a cluster, which every namespace's kube-root-ca.crt tells.
Arguments: root, value (its path, for the message), name, keys.
*/}}
{{- define "common.demandSecret" -}}
{{- if and .name (not (contains "{{" .name)) (lookup "v1" "ConfigMap" .root.Release.Namespace "kube-root-ca.crt") }}
{{- $namespace := .root.Release.Namespace }}
{{- $secret := lookup "v1" "Secret" $namespace .name }}
{{- if not $secret }}
{{- fail (printf "%s: %s names the Secret %q, and the namespace %s has none of that name: create it with the keys %s" .root.Chart.Name .value .name $namespace (.keys | sortAlpha | join ", ")) }}
{{- end }}
{{- range .keys | sortAlpha }}
{{- if not (hasKey ($secret.data | default dict) .) }}
{{- fail (printf "%s: %s names the Secret %q, which has no key %q: add it, or say in %sKeys what it is called there" $.root.Chart.Name $.value $.name . $.value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* An environment variable out of a Secret. Arguments: name, secret, key. */}}
{{- define "common.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}
