{{/*
What a Java program needs to trust the object store's private authority too: beside those that Java knows, as the object store is
not all that it talks to. Each of these is empty where no such authority is given (`s3.authoritySecret`).
Arguments of the first: root, image.
*/}}
{{- define "common.trustStore.container" -}}
{{- if .root.Values.s3.authoritySecret -}}
- name: authority
  image: {{ include "common.image" (dict "root" .root "image" .image) }}
  imagePullPolicy: {{ .image.pullPolicy }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "common.containerSecurity" .root | nindent 4 }}
  # keytool takes one certificate a file; the first argument holds as many as there are.
  command:
    - bash
    - -c
    - |
      set -euo pipefail
      cd /run/authorities
      cat "$JAVA_HOME/lib/security/cacerts" > store
      number=0
      while IFS= read -r line; do
          if [[ $line == *"BEGIN CERTIFICATE"* ]]; then number=$((number + 1)); fi
          echo "$line" >> "certificate-$number"
      done < "$0"
      if ((number == 0)); then
          echo "{{ .root.Chart.Name }}: s3.authoritySecret names a Secret whose ca.crt holds no certificate: it has to be a PEM file" >&2
          exit 1
      fi
      for each in $(seq "$number"); do
          "$JAVA_HOME/bin/keytool" -importcert -noprompt -alias "s3-$each" -file "certificate-$each" -keystore store -storepass changeit
      done
    - /run/secrets/s3/ca.crt
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - {name: authorities, mountPath: /run/authorities}
    - {name: s3-authority, mountPath: /run/secrets/s3, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{- define "common.trustStore.volumes" -}}
{{- if .Values.s3.authoritySecret -}}
- name: authorities
  emptyDir: {sizeLimit: 8Mi}
{{ include "common.authority.volume" . }}
{{- end }}
{{- end -}}

{{- define "common.trustStore.mount" -}}
{{- if .Values.s3.authoritySecret -}}
- {name: authorities, mountPath: /run/authorities, readOnly: true}
{{- end }}
{{- end -}}

{{/* Options of Java, one a line. The store holds nothing secret: its password is the one of the store that it is made from. */}}
{{- define "common.trustStore.options" -}}
{{- if .Values.s3.authoritySecret -}}
-Djavax.net.ssl.trustStore=/run/authorities/store
-Djavax.net.ssl.trustStorePassword=changeit
{{- end }}
{{- end -}}

{{- define "common.authority.volume" -}}
- name: s3-authority
  secret:
    secretName: {{ tpl .Values.s3.authoritySecret . }}
    items:
      - {key: {{ .Values.s3.authoritySecretKeys.authority }}, path: ca.crt}
{{- end -}}

{{/* Say that the Secret of the object store's keys or of its authority is missing. */}}
{{- define "common.demandS3" -}}
{{- with .Values.s3 }}
{{- include "common.demandSecret" (dict "root" $ "value" "s3.existingSecret" "name" .existingSecret "keys" (values .existingSecretKeys)) }}
{{- include "common.demandSecret" (dict "root" $ "value" "s3.authoritySecret" "name" .authoritySecret "keys" (values .authoritySecretKeys)) }}
{{- end }}
{{- end -}}
