{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "loader.check" -}}
{{- with .Values.catalog }}
{{- include "common.demandSecret" (dict "root" $ "value" "catalog.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- if or .Values.views.enabled .Values.test.enabled }}
{{- with .Values.trino }}
{{- include "common.demandSecret" (dict "root" $ "value" "trino.authoritySecret" "name" .authoritySecret "keys" (values .authoritySecretKeys)) }}
{{- end }}
{{- end }}
{{- include "common.demandS3" . }}
{{- include "common.demandSecret" (dict "root" . "value" "keySecret" "name" .Values.keySecret "keys" (values .Values.keySecretKeys)) }}
{{- end -}}
