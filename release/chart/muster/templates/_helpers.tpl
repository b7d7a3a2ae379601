{{- define "muster.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "muster.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "muster.labels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "muster.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ default (include "muster.name" .) .Values.serviceAccount.name }}
{{- else -}}{{ default "default" .Values.serviceAccount.name }}{{- end -}}
{{- end -}}

{{- define "muster.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end -}}

{{- /* muster.yaml: what the chart decides, over what the values say. */ -}}
{{- define "muster.config" -}}
{{- $own := dict "listen" ":8420" "data" "/var/lib/muster" "keys" "/var/lib/muster-keys" -}}
{{- if .Values.postgresql.enabled -}}
{{- $_ := set $own "database" "/run/secrets/postgresql/database" -}}
{{- $_ := set $own "key_database" "/run/secrets/postgresql/keys" -}}
{{- end -}}
{{- if .Values.rootKey.secret -}}{{- $_ := set $own "root_key" "/run/secrets/root/root.key" -}}{{- end -}}
{{- if .Values.tls.secret -}}
{{- $_ := set $own "tls" (dict "certificate" "/run/secrets/tls/tls.crt" "key" "/run/secrets/tls/tls.key") -}}
{{- end -}}
{{- if .Values.envoy.enabled -}}{{- $_ := set $own "envoy" (printf ":%d" (int .Values.envoy.port)) -}}{{- end -}}
{{- toYaml (merge $own .Values.config) -}}
{{- end -}}

{{- /* What cannot be is said before anything is made. */ -}}
{{- define "muster.check" -}}
{{- if .Values.postgresql.enabled -}}
{{- if not .Values.postgresql.secret -}}{{- fail "postgresql.secret names the Secret with the two DSNs" -}}{{- end -}}
{{- if not (or .Values.rootKey.secret (hasPrefix "kms:" (get .Values.config "root_key"))) -}}
{{- fail "with PostgreSQL several pods share the root key: rootKey.secret, or config.root_key: kms:..." -}}
{{- end -}}
{{- if .Values.init.enabled -}}{{- fail "init.enabled is for SQLite; with PostgreSQL muster init is run once, from outside" -}}{{- end -}}
{{- end -}}
{{- if and .Values.rootKey.secret (get .Values.config "root_key") -}}{{- fail "rootKey.secret and config.root_key are two root keys" -}}{{- end -}}
{{- if and .Values.init.enabled .Values.rootKey.secret -}}{{- fail "init makes a root key: not with rootKey.secret" -}}{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret) -}}
{{- fail "serviceMonitor.tokenSecret names the Secret with a token of the scope metrics" -}}
{{- end -}}
{{- end -}}

{{- define "muster.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "muster.mounts" -}}
- name: config
  mountPath: /etc/muster
  readOnly: true
- name: tmp
  mountPath: /tmp
- name: data
  mountPath: /var/lib/muster
- name: keys
  mountPath: /var/lib/muster-keys
{{- if .Values.postgresql.enabled }}
- name: postgresql
  mountPath: /run/secrets/postgresql
  readOnly: true
{{- end }}
{{- if .Values.rootKey.secret }}
- name: root
  mountPath: /run/secrets/root
  readOnly: true
{{- end }}
{{- if .Values.tls.secret }}
- name: tls
  mountPath: /run/secrets/tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "muster.probe" -}}
httpGet:
  path: {{ .path }}
  port: api
  {{- if .root.Values.tls.secret }}
  scheme: HTTPS
  {{- end }}
{{- end -}}

{{- /* The pod, the same for both kinds of storage. */ -}}
{{- define "muster.pod" -}}
metadata:
  labels:
    {{- include "muster.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Another configuration is another pod.
    muster/config: {{ include "muster.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "muster.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 45
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- if .Values.init.enabled }}
  initContainers:
    - name: init
      image: {{ include "muster.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - init
        - --config=/etc/muster/muster.yaml
        - --once
        - {{ printf "--operator=%s" .Values.init.operator | quote }}
        - {{ printf "--pack=%s" (join "," .Values.init.packs) | quote }}
        - --token-file=/var/lib/muster-keys/first.token
      securityContext:
        {{- include "muster.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "muster.mounts" . | nindent 8 }}
  {{- end }}
  containers:
    - name: muster
      image: {{ include "muster.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config=/etc/muster/muster.yaml]
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: api
          containerPort: 8420
        {{- if .Values.envoy.enabled }}
        - name: envoy
          containerPort: {{ .Values.envoy.port }}
        {{- end }}
      # A first start after an upgrade migrates, and an erasure that was begun is
      # finished before anything is served: up to a quarter of an hour.
      startupProbe:
        {{- include "muster.probe" (dict "root" . "path" "/healthz") | nindent 8 }}
        periodSeconds: 3
        failureThreshold: 300
      livenessProbe:
        {{- include "muster.probe" (dict "root" . "path" "/healthz") | nindent 8 }}
        timeoutSeconds: 5
      readinessProbe:
        {{- include "muster.probe" (dict "root" . "path" "/readyz") | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
      # Whoever balances learns that the pod goes before it stops to listen.
      lifecycle:
        preStop:
          sleep:
            seconds: 5
      securityContext:
        {{- include "muster.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "muster.mounts" . | nindent 8 }}
  volumes:
    - name: config
      configMap:
        name: {{ include "muster.name" . }}
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
    {{- if .Values.postgresql.enabled }}
    - name: data
      emptyDir: {}
    - name: keys
      emptyDir:
        medium: Memory
    - name: postgresql
      secret:
        secretName: {{ .Values.postgresql.secret }}
        defaultMode: 0440
        items:
          - key: {{ .Values.postgresql.databaseKey }}
            path: database
          - key: {{ .Values.postgresql.keyDatabaseKey }}
            path: keys
    {{- end }}
    {{- if .Values.rootKey.secret }}
    - name: root
      secret:
        secretName: {{ .Values.rootKey.secret }}
        defaultMode: 0440
        items:
          - key: {{ .Values.rootKey.key }}
            path: root.key
    {{- end }}
    {{- if .Values.tls.secret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.secret }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end -}}
