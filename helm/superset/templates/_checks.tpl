{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "superset.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.cache.redis.url) }}
{{- fail (printf "superset: replicas is %v, and cache.redis.url is empty: servers that each have a cache of their own show one person different states, so name a Redis or set replicas to 1" .Values.replicas) }}
{{- end }}
{{- with .Values.auth }}
{{- include "common.demandSecret" (dict "root" $ "value" "auth.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- if .users }}
{{- include "common.demandSecret" (dict "root" $ "value" "auth.usersSecret" "name" .usersSecret "keys" (values .usersSecretKeys)) }}
{{- end }}
{{- $names := list }}
{{- range .users }}
{{- if has .name $names }}
{{- fail (printf "superset: auth.users names %s twice: every user is there once, with all sites" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
{{- with .Values.database }}
{{- include "common.demandSecret" (dict "root" $ "value" "database.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- with .Values.trino }}
{{- include "common.demandSecret" (dict "root" $ "value" "trino.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- include "common.demandSecret" (dict "root" $ "value" "trino.authoritySecret" "name" .authoritySecret "keys" (values .authoritySecretKeys)) }}
{{- end }}
{{- with .Values.cache.redis }}
{{- include "common.demandSecret" (dict "root" $ "value" "cache.redis.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- end -}}
