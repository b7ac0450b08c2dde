{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "minio.check" -}}
{{- with .Values.auth }}
{{- include "common.demandSecret" (dict "root" $ "value" "auth.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- range $user, $rights := .Values.users }}
{{- $keys := $rights.existingSecretKeys | default (dict "accessKey" "access-key" "secretKey" "secret-key") }}
{{- $value := printf "users.%s.existingSecret" $user }}
{{- include "common.demandSecret" (dict "root" $ "value" $value "name" $rights.existingSecret "keys" (values $keys)) }}
{{- range $bucket := concat $rights.write $rights.read }}
{{- if not (has $bucket $.Values.buckets) }}
{{- fail (printf "minio: users.%s may use the bucket %q, which buckets does not name: add it there" $user $bucket) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
