{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "loader.check" -}}
{{- with .Values.catalog }}
{{- include "common.demandSecret" (dict "root" $ "value" "catalog.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- include "common.demandS3" . }}
{{- include "common.demandSecret" (dict "root" . "value" "keySecret" "name" .Values.keySecret "keys" (values .Values.keySecretKeys)) }}
{{- end -}}
