{{/* The pod of a load. Arguments: root, name, arguments (list), command, namespace (both optional). */}}
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
    {{- with $values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.pod.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "common.pod" (dict "root" $root "pod" $values.pod) | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: lakehouse
      image: {{ include "common.image" (dict "root" $root "image" $values.image) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      securityContext:
        {{- include "common.containerSecurity" $root | nindent 8 }}
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        {{- toYaml .arguments | nindent 8 }}
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
        {{- include "common.secretEnv" (dict "name" "PGUSER" "secret" $secret "key" "username") | nindent 8 }}
        {{- include "common.secretEnv" (dict "name" "PGPASSWORD" "secret" $secret "key" "password") | nindent 8 }}
        {{- end }}
        - name: LAKEHOUSE_S3_ENDPOINT
          value: {{ tpl $values.s3.endpoint $root | quote }}
        - name: LAKEHOUSE_S3_REGION
          value: {{ $values.s3.region | quote }}
        - name: LAKEHOUSE_S3_PATH_STYLE
          value: {{ $values.s3.pathStyle | quote }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_S3_ACCESS_KEY_ID" "secret" $s3 "key" "access-key") | nindent 8 }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_S3_SECRET_ACCESS_KEY" "secret" $s3 "key" "secret-key") | nindent 8 }}
        {{- $key := include "common.secretName" (dict "root" $root "existing" $values.keySecret "name" $name) }}
        {{- include "common.secretEnv" (dict "name" "LAKEHOUSE_KEY" "secret" $key "key" "key") | nindent 8 }}
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
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: settings
      configMap:
        name: {{ $name }}
    - name: tmp
      emptyDir: {}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
