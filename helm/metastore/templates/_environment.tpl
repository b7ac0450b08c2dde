{{- define "metastore.environment" -}}
{{- $database := tpl .Values.database.existingSecret . -}}
{{- $s3 := tpl .Values.s3.existingSecret . -}}
- name: METASTORE_CONF_DIR
  value: /etc/metastore
- name: METASTORE_HEAP
  value: {{ .Values.heapMegabytes }}m
{{ include "common.secretEnv" (dict "name" "DATABASE_USERNAME" "secret" $database "key" "username") }}
{{ include "common.secretEnv" (dict "name" "DATABASE_PASSWORD" "secret" $database "key" "password") }}
{{ include "common.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" $s3 "key" "access-key") }}
{{ include "common.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" $s3 "key" "secret-key") }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "metastore.volumes" -}}
- name: configuration
  configMap:
    name: {{ include "common.fullname" . }}
- name: tmp
  emptyDir: {}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "metastore.mounts" -}}
- name: configuration
  mountPath: /etc/metastore
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
