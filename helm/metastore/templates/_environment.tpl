{{- define "metastore.environment" -}}
{{- $database := tpl .Values.database.existingSecret . -}}
{{- $s3 := tpl .Values.s3.existingSecret . -}}
- name: METASTORE_CONF_DIR
  value: /etc/metastore
- name: METASTORE_HEAP
  value: {{ .Values.heapMegabytes }}m
{{ include "common.secretEnv" (dict "name" "DATABASE_USERNAME" "secret" $database "key" .Values.database.existingSecretKeys.username) }}
{{ include "common.secretEnv" (dict "name" "DATABASE_PASSWORD" "secret" $database "key" .Values.database.existingSecretKeys.password) }}
{{ include "common.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" $s3 "key" .Values.s3.existingSecretKeys.accessKey) }}
{{ include "common.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" $s3 "key" .Values.s3.existingSecretKeys.secretKey) }}
{{- with include "common.trustStore.options" . }}
- name: JAVA_TOOL_OPTIONS
  value: {{ replace "\n" " " . | quote }}
{{- end }}
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
{{ include "common.trustStore.volumes" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "metastore.mounts" -}}
- name: configuration
  mountPath: /etc/metastore
- name: tmp
  mountPath: /tmp
{{ include "common.trustStore.mount" . }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Waits for the database, and says in a sentence that there is none: Java would say it in two hundred lines. */}}
{{- define "metastore.database" -}}
- name: database
  image: {{ include "common.image" (dict "root" . "image" .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "common.containerSecurity" . | nindent 4 }}
  command:
    - bash
    - -c
    - |
      until timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$DATABASE_HOST" "$DATABASE_PORT" 2>/dev/null; do
          if ((SECONDS > 60)); then
              echo "metastore: nothing takes connections at $DATABASE_HOST:$DATABASE_PORT: set database.host and database.port to your PostgreSQL, or look why it is down" >&2
              exit 1
          fi
          sleep 1
      done
  env:
    - name: DATABASE_HOST
      value: {{ tpl .Values.database.host . | quote }}
    - name: DATABASE_PORT
      value: {{ .Values.database.port | quote }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end -}}
