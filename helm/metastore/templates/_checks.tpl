{{/* Say in a sentence what does not fit together, before anything is installed. */}}
{{- define "metastore.check" -}}
{{- $limit := (.Values.resources.limits).memory | default "" | toString }}
{{- $mebibytes := regexFind "^[0-9]+" $limit | int }}
{{- if hasSuffix "Gi" $limit }}{{ $mebibytes = mulf (trimSuffix "Gi" $limit | float64) 1024 | int }}{{ end }}
{{- if and (or (hasSuffix "Mi" $limit) (hasSuffix "Gi" $limit)) (gt (add .Values.heapMegabytes 192) $mebibytes) }}
{{- fail (printf "metastore: heapMegabytes is %v and resources.limits.memory %s: Java needs 192 MiB beside its heap, so lower the one or raise the other" .Values.heapMegabytes $limit) }}
{{- end }}
{{- with .Values.database }}
{{- include "common.demandSecret" (dict "root" $ "value" "database.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- end }}
{{- include "common.demandS3" . }}
{{- end -}}
