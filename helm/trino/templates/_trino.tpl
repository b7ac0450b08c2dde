{{/* Heap of a node with so many MiB: what the JVM itself needs beside it grows with it, but is never below 768 MiB. */}}
{{- define "trino.heap" -}}
{{- $beside := max 768 (div (mul (int .) 20) 100) -}}
{{- sub (int .) $beside -}}
{{- end -}}

{{/*
A shipped catalog's properties, with the names that this version of Trino knows (trinodb/trino#29070).
Arguments: root, name.
*/}}
{{- define "trino.catalog" -}}
{{- $values := .root.Values -}}
{{- $file := .name -}}
{{- if and (eq .name "iceberg") (ne $values.iceberg.catalog "hive") -}}
{{- $file = printf "iceberg-%s" $values.iceberg.catalog -}}
{{- end -}}
{{- $text := .root.Files.Get (printf "catalogs/%s.properties" $file) -}}
{{- /* A tag without a version, such as latest, is taken for the newest. */ -}}
{{- if ge (regexFind "^[0-9]+" (toString $values.image.tag) | default "9999" | int) 481 -}}
{{- $text = replace "fs.native-s3.enabled" "fs.s3.enabled" $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* Names that the certificate is for. */}}
{{- define "trino.hosts" -}}
{{- $name := include "common.fullname" . -}}
{{- $names := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) -}}
{{- concat $names (list (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) "localhost") .Values.tls.hosts | toYaml -}}
{{- end -}}

{{- define "trino.usersSecret" -}}
{{- include "common.secretName" (dict "root" . "existing" .Values.auth.existingSecret "name" (printf "%s-users" (include "common.fullname" .))) -}}
{{- end -}}

{{- define "trino.tlsSecret" -}}
{{- include "common.secretName" (dict "root" . "existing" .Values.tls.existingSecret "name" (printf "%s-tls" (include "common.fullname" .))) -}}
{{- end -}}

{{- define "trino.environment" -}}
{{- $s3 := tpl .Values.s3.existingSecret . -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: METASTORE_URI
  value: {{ tpl .Values.metastore.uri . | quote }}
{{- with .Values.iceberg }}
{{- if ne .catalog "hive" }}
- name: CATALOG_URI
  value: {{ tpl .uri $ | quote }}
- name: CATALOG_WAREHOUSE
  value: {{ tpl .warehouse $ | quote }}
{{- end }}
{{- if eq .catalog "jdbc" }}
{{- $secret := tpl .existingSecret $ }}
{{ include "common.secretEnv" (dict "name" "CATALOG_USERNAME" "secret" $secret "key" .existingSecretKeys.username) }}
{{ include "common.secretEnv" (dict "name" "CATALOG_PASSWORD" "secret" $secret "key" .existingSecretKeys.password) }}
{{- end }}
{{- end }}
- name: S3_ENDPOINT
  value: {{ tpl .Values.s3.endpoint . | quote }}
- name: S3_REGION
  value: {{ .Values.s3.region | quote }}
- name: S3_PATH_STYLE
  value: {{ .Values.s3.pathStyle | quote }}
{{ include "common.secretEnv" (dict "name" "S3_ACCESS_KEY" "secret" $s3 "key" .Values.s3.existingSecretKeys.accessKey) }}
{{ include "common.secretEnv" (dict "name" "S3_SECRET_KEY" "secret" $s3 "key" .Values.s3.existingSecretKeys.secretKey) }}
{{ include "common.secretEnv" (dict "name" "INTERNAL_SHARED_SECRET" "secret" (include "common.fullname" .) "key" "internal-shared-secret") }}
- name: SHUTDOWN_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "trino.usersSecret" . }}
      key: {{ .Values.auth.existingSecretKeys.shutdown }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A node's pod. Arguments: root, component, memory (MiB), cpu. */}}
{{- define "trino.pod" -}}
{{- $root := .root -}}
{{- $name := include "common.fullname" $root -}}
{{- /* What a certificate's Secret holds is a convention, unless it is one of somebody else's. */ -}}
{{- $keys := ternary $root.Values.tls.existingSecretKeys (dict "certificate" "tls.crt" "key" "tls.key" "authority" "ca.crt") (ne $root.Values.tls.existingSecret "") -}}
metadata:
  labels:
    {{- include "common.labels" (dict "root" $root "component" .component) | nindent 4 }}
    lakehouse.dev/uses-metastore: "true"
    lakehouse.dev/uses-s3: "true"
    lakehouse.dev/uses-postgresql: {{ eq $root.Values.iceberg.catalog "jdbc" | quote }}
    {{- with $root.Values.pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Without the limit that follows from the number of workers: with it, a change of that number would end all queries.
    checksum/configuration: {{ regexReplaceAll "query.max-memory=.*" (include (print $root.Template.BasePath "/configuration.yaml") $root) "" | sha256sum }}
    checksum/access: {{ include (print $root.Template.BasePath "/access.yaml") $root | sha256sum }}
    checksum/catalogs: {{ include (print $root.Template.BasePath "/catalogs.yaml") $root | sha256sum }}
    {{- with $root.Values.tls.existingSecret }}
    {{- with (lookup "v1" "Secret" $root.Release.Namespace (tpl . $root)).data }}
    # Trino reads its certificate when it starts: with another one, an upgrade rolls the pods.
    checksum/certificate: {{ toJson . | sha256sum }}
    {{- end }}
    {{- end }}
    {{- with $root.Values.pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "common.pod" (dict "root" $root "pod" $root.Values.pod) | nindent 2 }}
  {{- include "common.spread" (dict "root" $root "component" .component) | nindent 2 }}
  {{- with .gracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ add . 30 }}
  {{- end }}
  initContainers:
    # Trino wants key and certificate in one file.
    - name: certificate
      image: {{ include "common.image" (dict "root" $root "image" $root.Values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- include "common.containerSecurity" $root | nindent 8 }}
      command: [sh, -c, cat /run/secrets/tls/tls.key /run/secrets/tls/tls.crt > /run/tls/trino.pem]
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 64Mi}
      volumeMounts:
        - name: certificate
          mountPath: /run/secrets/tls
          readOnly: true
        - name: tls
          mountPath: /run/tls
    {{- include "common.trustStore.container" (dict "root" $root "image" $root.Values.image) | nindent 4 }}
  containers:
    - name: trino
      image: {{ include "common.image" (dict "root" $root "image" $root.Values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- include "common.containerSecurity" $root | nindent 8 }}
      env:
        {{- include "trino.environment" $root | nindent 8 }}
      ports:
        - name: http
          containerPort: 8080
        - name: https
          containerPort: 8443
      {{- if .gracePeriodSeconds }}
      lifecycle:
        preStop:
          exec:
            # The worker takes no more work, finishes what it has and ends; until it stops listening the hook holds off the
            # signal. A hook that waited for the end of the process would end with it, and count as failed.
            command:
              - bash
              - -c
              - |
                listens() { (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; }
                listens || exit 0 # it has not even started
                curl --silent --show-error --fail --cacert /etc/trino/tls/ca.crt --user "shutdown:$SHUTDOWN_PASSWORD" \
                    --request PUT --header 'Content-Type: application/json' --data '"SHUTTING_DOWN"' \
                    https://localhost:8443/v1/info/state || exit 1
                while listens; do sleep 0.1; done
      {{- end }}
      # The port answers long before the node can work: what it says of itself counts.
      startupProbe:
        exec:
          command: &ask
            - bash
            - -c
            - exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /v1/info HTTP/1.0\r\n\r\n' >&3 && grep -q '"starting":false' <&3
        # Ten minutes: where other programs take the processor, a limit that is met in the middle of the start only begins it anew.
        periodSeconds: 3
        timeoutSeconds: 5
        failureThreshold: 200
      readinessProbe:
        exec:
          command: *ask
        periodSeconds: 10
        timeoutSeconds: 5
      livenessProbe:
        exec:
          command: *ask
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 6
      resources:
        requests: {cpu: {{ .cpu }}, memory: {{ .memory }}Mi}
        limits: {memory: {{ .memory }}Mi}
      volumeMounts:
        - name: tls
          mountPath: /run/tls
        - name: configuration
          mountPath: /etc/trino
        - name: catalogs
          mountPath: /etc/trino/catalog
        - name: data
          mountPath: /data/trino
        - name: tmp
          mountPath: /tmp
        {{- include "common.trustStore.mount" $root | nindent 8 }}
        {{- with $root.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tls
      emptyDir:
        medium: Memory
    - name: certificate
      secret:
        secretName: {{ include "trino.tlsSecret" $root }}
        items:
          - {key: {{ $keys.certificate }}, path: tls.crt}
          - {key: {{ $keys.key }}, path: tls.key}
    - name: configuration
      projected:
        sources:
          - configMap:
              name: {{ $name }}-{{ .component }}
          - configMap:
              name: {{ $name }}-access
          - secret:
              name: {{ include "trino.usersSecret" $root }}
              items:
                - {key: {{ $root.Values.auth.existingSecretKeys.passwordFile }}, path: password.db}
          - secret:
              name: {{ include "trino.tlsSecret" $root }}
              optional: true
              items:
                - {key: {{ $keys.authority }}, path: tls/ca.crt}
    - name: catalogs
      configMap:
        name: {{ $name }}-catalogs
    - name: data
      emptyDir: {}
    - name: tmp
      emptyDir: {}
    {{- include "common.trustStore.volumes" $root | nindent 4 }}
    {{- with $root.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
