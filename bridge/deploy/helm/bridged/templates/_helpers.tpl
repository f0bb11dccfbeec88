{{- define "bridged.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "bridged.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bridged.labels" -}}
{{ include "bridged.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What the bridge reads: the user's configuration under what the chart alone knows. */ -}}
{{- define "bridged.config" -}}
{{- $own := dict
  "data" "/data"
  "viewers" (dict "listen" ":8443" "plaintext" false "tls" (dict "cert" "/etc/plumbline/tls/tls.crt" "key" "/etc/plumbline/tls/tls.key"))
  "ops" (dict "listen" ":9464" "pprof" false) -}}
{{- if .Values.jwt.secret }}{{ $_ := set $own "auth" (dict "jwt" (dict "secretFile" "/etc/plumbline/jwt/jwt.key")) }}{{ end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{- /* What cannot work is said before anything is made. */ -}}
{{- define "bridged.check" -}}
{{- $jwt := dig "auth" "jwt" (dict) .Values.config -}}
{{- if not .Values.image.repository }}{{ fail "image.repository is empty: name where you pushed the image that bridge/deploy/Containerfile builds" }}{{ end -}}
{{- if not .Values.tls.secret }}{{ fail "tls.secret is empty: name a secret of type kubernetes.io/tls with the viewers' certificate" }}{{ end -}}
{{- if not (or .Values.jwt.secret (get $jwt "publicKeyFile") (get $jwt "keySetFile") (get $jwt "keySetURL")) }}{{ fail "jwt.secret is empty: name a secret with the key jwt.key, or give config.auth.jwt public keys; each pod would make a key of its own" }}{{ end -}}
{{- if not .Values.config.external }}{{ fail "config.external is empty: name the broker whose messages the bridges shall carry" }}{{ end -}}
{{- end }}
