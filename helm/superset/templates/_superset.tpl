{{/* The pod of a server, or of the Job that prepares its database. Arguments: root, component, container. */}}
{{- define "superset.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $labels := dict "root" $root "component" .component -}}
{{- $users := and (eq .component "prepare") $values.auth.users -}}
metadata:
  labels:
    {{- include "common.labels" $labels | nindent 4 }}
    lakehouse.dev/uses-postgresql: "true"
    lakehouse.dev/uses-trino: "true"
    {{- with $values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $users $values.pod.annotations }}
  annotations:
    {{- if $users }}
    checksum/users: {{ include (print $root.Template.BasePath "/users.yaml") $root | sha256sum }}
    {{- end }}
    {{- with $values.pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  {{- include "common.pod" (dict "root" $root "pod" $values.pod) | nindent 2 }}
  {{- if eq .component "server" }}
  {{- include "common.spread" $labels | nindent 2 }}
  {{- else }}
  restartPolicy: OnFailure
  {{- end }}
  initContainers:
    # A server waits for the tables that the Job makes, and the Job for a database.
    - name: database
      {{- include "superset.container" (dict "root" $root) | nindent 6 }}
      args: [python, /opt/dashboards/wait.py, {{ ternary "tables" "database" (eq .component "server") }}]
      resources:
        requests: {cpu: 10m, memory: 32Mi}
        limits: {memory: 128Mi}
  containers:
    - name: superset
      {{- include "superset.container" (dict "root" $root "component" .component) | nindent 6 }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      {{- .container | nindent 6 }}
  volumes:
    - name: state
      emptyDir: {}
    - name: tmp
      emptyDir: {}
    - name: authority
      secret:
        secretName: {{ tpl $values.trino.authoritySecret $root }}
        items:
          - {key: {{ $values.trino.authoritySecretKeys.authority }}, path: ca.crt}
    {{- if $users }}
    - name: users
      projected:
        sources:
          - configMap:
              name: {{ include "common.fullname" $root }}-users
          - secret:
              name: {{ include "common.secretName" (dict "root" $root "existing" $values.auth.usersSecret "name" (printf "%s-users" (include "common.fullname" $root))) }}
              items:
                - {key: {{ $values.auth.usersSecretKeys.passwords | quote }}, path: passwords.json}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* What all containers have in common. Arguments: root, component (optional). */}}
{{- define "superset.container" -}}
{{- $values := .root.Values -}}
image: {{ include "common.image" (dict "root" .root "image" $values.image) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- include "common.containerSecurity" .root | nindent 2 }}
env:
  {{- include "superset.environment" .root | nindent 2 }}
  {{- if eq (.component | default "") "prepare" }}
  {{- include "common.secretEnv" (dict "name" "DASHBOARDS_ADMIN_PASSWORD" "secret" (include "superset.secret" .root) "key" $values.auth.existingSecretKeys.adminPassword) | nindent 2 }}
  {{- if $values.auth.users }}
  - name: DASHBOARDS_USERS
    value: /run/secrets/users/users.yaml
  - name: DASHBOARDS_PASSWORDS
    value: /run/secrets/users/passwords.json
  {{- end }}
  {{- end }}
volumeMounts:
  - name: state
    mountPath: /var/lib/dashboards
  - name: tmp
    mountPath: /tmp
  - name: authority
    mountPath: /run/secrets/trino
  {{- if and (eq (.component | default "") "prepare") $values.auth.users }}
  - name: users
    mountPath: /run/secrets/users
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "superset.environment" -}}
{{- $database := .Values.database -}}
{{- $databaseSecret := tpl $database.existingSecret . -}}
{{- $secret := include "superset.secret" . -}}
{{- $keys := .Values.auth.existingSecretKeys -}}
{{- $parameters := ternary (printf "?%s" $database.parameters) "" (not (empty $database.parameters)) -}}
- name: DASHBOARDS_ENGINE
  value: trino
- name: DASHBOARDS_DATABASE
  value: {{ printf "postgresql+psycopg2://%s:%v/%s%s" (tpl $database.host .) $database.port $database.name $parameters | quote }}
# PostgreSQL's client takes from here what the address does not say.
{{ include "common.secretEnv" (dict "name" "PGUSER" "secret" $databaseSecret "key" $database.existingSecretKeys.username) }}
{{ include "common.secretEnv" (dict "name" "PGPASSWORD" "secret" $databaseSecret "key" $database.existingSecretKeys.password) }}
{{- with .Values.trino }}
- name: DASHBOARDS_TRINO_URI
  value: {{ printf "trino://%s@%s" .user (tpl .server $ | trimPrefix "https://") | quote }}
- name: DASHBOARDS_TRINO_CATALOG
  value: {{ .catalog | quote }}
- name: DASHBOARDS_TRINO_SCHEMA
  value: {{ .schema | quote }}
- name: DASHBOARDS_TRINO_AUTHORITY
  value: /run/secrets/trino/ca.crt
{{ include "common.secretEnv" (dict "name" "DASHBOARDS_TRINO_PASSWORD" "secret" (tpl .existingSecret $) "key" .existingSecretKeys.password) }}
{{- end }}
{{ include "common.secretEnv" (dict "name" "DASHBOARDS_SECRET_KEY" "secret" $secret "key" $keys.secretKey) }}
{{ include "common.secretEnv" (dict "name" "DASHBOARDS_GUEST_TOKEN_SECRET" "secret" $secret "key" $keys.guestTokenSecret) }}
{{ include "common.secretEnv" (dict "name" "DASHBOARDS_ASYNC_QUERIES_SECRET" "secret" $secret "key" $keys.asyncQueriesSecret) }}
- name: DASHBOARDS_TLS
  value: {{ .Values.behindTls | quote }}
{{- with .Values.cache.redis }}
{{- if .url }}
- name: DASHBOARDS_REDIS
  value: {{ .url | quote }}
{{- end }}
{{- if .existingSecret }}
{{ include "common.secretEnv" (dict "name" "DASHBOARDS_REDIS_PASSWORD" "secret" (tpl .existingSecret $) "key" .existingSecretKeys.password) }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "superset.secret" -}}
{{- include "common.secretName" (dict "root" . "existing" .Values.auth.existingSecret "name" (include "common.fullname" .)) -}}
{{- end -}}
