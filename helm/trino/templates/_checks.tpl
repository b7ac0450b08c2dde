{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "trino.check" -}}
{{- range $who := list "coordinator" "worker" }}
{{- $megabytes := int (index $.Values $who).memoryMegabytes }}
{{- if lt $megabytes 1408 }}
{{- fail (printf "trino: %s.memoryMegabytes is %d, and Trino does not start with less than 1408: raise it" $who $megabytes) }}
{{- end }}
{{- end }}
{{- if or (le (float64 .Values.query.heapShare) 0.0) (gt (float64 .Values.query.heapShare) 0.7) }}
{{- fail (printf "trino: query.heapShare is %v; it must be above 0 and at most 0.7, as the rest of the heap is for buffers that no query is charged for" .Values.query.heapShare) }}
{{- end }}
{{- range $name := .Values.catalogs.shipped }}
{{- if not ($.Files.Get (printf "catalogs/%s.properties" $name)) }}
{{- fail (printf "trino: catalogs.shipped names %q, and there is no such catalog: remove it, or give its properties in catalogs.extra" $name) }}
{{- end }}
{{- end }}
{{- $iceberg := .Values.iceberg }}
{{- if and (ne $iceberg.catalog "hive") (not $iceberg.uri) }}
{{- fail (printf "trino: iceberg.catalog is %s, and iceberg.uri is empty: set the address of that catalog" $iceberg.catalog) }}
{{- end }}
{{- if and (eq $iceberg.catalog "jdbc") (not $iceberg.existingSecret) }}
{{- fail "trino: iceberg.catalog is jdbc, and iceberg.existingSecret is empty: name the Secret with username and password of the database" }}
{{- end }}
{{- range $name, $text := .Values.catalogs.extra }}
{{- if not (contains "connector.name=" $text) }}
{{- fail (printf "trino: catalogs.extra.%s has no line connector.name=...: every catalog needs one" $name) }}
{{- end }}
{{- range $line := splitList "\n" $text }}
{{- if and (regexMatch "^[^#=]*(password|secret|secret-key|access-key|token|credential)\\s*=\\s*[^\\s]" $line) (not (contains "${ENV:" $line)) }}
{{- fail (printf "trino: catalogs.extra.%s holds a secret in %q: write ${ENV:NAME} there, and give NAME in extraEnv out of a Secret" $name (regexFind "^[^=]*" $line | trim)) }}
{{- end }}
{{- end }}
{{- if has $name $.Values.catalogs.shipped }}
{{- fail (printf "trino: catalogs.extra.%s has the name of a shipped catalog: take it out of catalogs.shipped, or give it another name" $name) }}
{{- end }}
{{- end }}
{{- if and .Values.tls.existingSecret .Values.tls.certManager.issuer }}
{{- fail "trino: tls.existingSecret and tls.certManager.issuer are both given: a certificate comes from one of them" }}
{{- end }}
{{- with .Values.auth }}
{{- include "common.demandSecret" (dict "root" $ "value" "auth.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- with .Values.tls }}
{{- $keys := list .existingSecretKeys.certificate .existingSecretKeys.key }}
{{- include "common.demandSecret" (dict "root" $ "value" "tls.existingSecret" "name" .existingSecret "keys" $keys) }}
{{- end }}
{{- with .Values.iceberg }}
{{- include "common.demandSecret" (dict "root" $ "value" "iceberg.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- include "common.demandS3" . }}
{{- end -}}
