{{/* The pod of a load. Arguments: root, name, arguments (list); optional: command, namespace, restartPolicy, spread, trinoUser. */}}
{{- define "loader.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $name := include "common.fullname" $root -}}
{{- $s3 := tpl $values.s3.existingSecret $root -}}
metadata:
  labels:
    {{- include "common.labels" (dict "root" $root "component" .name) | nindent 4 }}
    lakehouse.dev/uses-metastore: "true"
    lakehouse.dev/uses-s3: "true"
    lakehouse.dev/uses-postgresql: "true"
    {{- if .trinoUser }}
    lakehouse.dev/uses-trino: "true"
    {{- end }}
    {{- with $values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/settings: {{ $values.settings | sha256sum }}
    {{- with $values.pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "common.pod" (dict "root" $root "pod" $values.pod) | nindent 2 }}
  {{- if .spread }}
  {{- include "common.spread" (dict "root" $root "component" .name) | nindent 2 }}
  {{- end }}
  restartPolicy: {{ .restartPolicy | default "Never" }}
  containers:
    - name: lakehouse
      image: {{ include "common.image" (dict "root" $root "image" $values.image) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- include "common.containerSecurity" $root | nindent 8 }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # Kubernetes takes $(NAME) for a variable: an argument is what it is.
      args:
        {{- toYaml .arguments | replace "$" "$$" | nindent 8 }}
      env:
        - name: HOME
          value: /tmp
        - name: LAKEHOUSE_HOME
          value: /tmp/lakehouse
        - name: LAKEHOUSE_CONFIG
          value: /etc/lakehouse/lakehouse.toml
        - name: LAKEHOUSE_WAREHOUSE
          value: {{ tpl $values.warehouse $root | quote }}
        - name: LAKEHOUSE_NAMESPACE
          value: {{ .namespace | default $values.namespace | quote }}
        - name: LAKEHOUSE_CATALOG_TYPE
          value: {{ $values.catalog.type | quote }}
        - name: LAKEHOUSE_CATALOG_URI
          value: {{ tpl $values.catalog.uri $root | quote }}
        {{- with $values.catalog.existingSecret }}
        # PostgreSQL's client takes from here what the address does not say.
        {{- $secret := tpl . $root }}
        {{- include "common.secretEnv" (dict "name" "PGUSER" "secret" $secret "key" $values.catalog.existingSecretKeys.username) | nindent 8 }}
        {{- include "common.secretEnv" (dict "name" "PGPASSWORD" "secret" $secret "key" $values.catalog.existingSecretKeys.password) | nindent 8 }}
        {{- end }}
        - name: LAKEHOUSE_S3_ENDPOINT
          value: {{ tpl $values.s3.endpoint $root | quote }}
        - name: LAKEHOUSE_S3_REGION
          value: {{ $values.s3.region | quote }}
        - name: LAKEHOUSE_S3_PATH_STYLE
          value: {{ $values.s3.pathStyle | quote }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_S3_ACCESS_KEY_ID" "secret" $s3 "key" $values.s3.existingSecretKeys.accessKey) | nindent 8 }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_S3_SECRET_ACCESS_KEY" "secret" $s3 "key" $values.s3.existingSecretKeys.secretKey) | nindent 8 }}
        {{- if $values.s3.authoritySecret }}
        - name: LAKEHOUSE_S3_CA_FILE
          value: /run/secrets/s3/ca.crt
        {{- end }}
        {{- $key := include "common.secretName" (dict "root" $root "existing" $values.keySecret "name" $name) }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_KEY" "secret" $key "key" $values.keySecretKeys.key) | nindent 8 }}
        {{- with .trinoUser }}
        - name: LAKEHOUSE_TRINO_URI
          value: {{ tpl $values.trino.server $root | quote }}
        - name: LAKEHOUSE_TRINO_USER
          value: {{ . | quote }}
        - name: LAKEHOUSE_TRINO_CA_FILE
          value: /run/secrets/trino/ca.crt
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_TRINO_PASSWORD" "secret" (tpl $values.trino.usersSecret $root) "key" .) | nindent 8 }}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - name: settings
          mountPath: /etc/lakehouse
        - name: tmp
          mountPath: /tmp
        {{- if .trinoUser }}
        - name: authority
          mountPath: /run/secrets/trino
        {{- end }}
        {{- if $values.s3.authoritySecret }}
        - name: s3-authority
          mountPath: /run/secrets/s3
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: settings
      configMap:
        name: {{ $name }}
    - name: tmp
      emptyDir: {}
    {{- if .trinoUser }}
    - name: authority
      secret:
        secretName: {{ tpl $values.trino.authoritySecret $root }}
        items:
          - {key: {{ $values.trino.authoritySecretKeys.authority }}, path: ca.crt}
    {{- end }}
    {{- if $values.s3.authoritySecret }}
    {{- include "common.authority.volume" $root | nindent 4 }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Inputs of a backfill, one for each of its pods: those listed, or one a day. Arguments: name, backfill. */}}
{{- define "loader.inputs" -}}
{{- with .backfill -}}
{{- if .inputs -}}
{{- toYaml .inputs -}}
{{- else -}}
{{- if not (contains "{date}" .input) }}
{{- fail (printf "loader: backfills.%s.input is %q: write {date} where the day stands, as in s3://landing/web/{date}/*.gz" $.name .input) }}
{{- end }}
{{- $first := mustToDate "2006-01-02T15:04:05Z07:00" (printf "%sT00:00:00Z" .from) }}
{{- $last := mustToDate "2006-01-02T15:04:05Z07:00" (printf "%sT00:00:00Z" .to) }}
{{- $days := add1 (div (sub (unixEpoch $last | int64) (unixEpoch $first | int64)) 86400) | int }}
{{- if lt $days 1 }}
{{- fail (printf "loader: backfills.%s goes from %s to %s, which is earlier" $.name .from .to) }}
{{- end }}
{{- $inputs := list }}
{{- range $day := until $days }}
{{- $date := dateInZone "2006-01-02" ($first | dateModify (printf "%dh" (mul $day 24))) "UTC" }}
{{- $inputs = append $inputs (replace "{date}" $date $.backfill.input) }}
{{- end }}
{{- toYaml $inputs }}
{{- end -}}
{{- end -}}
{{- end -}}
