{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "postgresql.check" -}}
{{- with .Values.auth }}
{{- include "common.demandSecret" (dict "root" $ "value" "auth.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- range $database, $secret := .Values.databaseSecrets }}
{{- $value := printf "databaseSecrets.%s" $database }}
{{- include "common.demandSecret" (dict "root" $ "value" $value "name" $secret.name "keys" (list ($secret.key | default "password"))) }}
{{- end }}
{{- end -}}
