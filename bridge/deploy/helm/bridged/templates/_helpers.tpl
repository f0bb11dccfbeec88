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
{{- if .Values.mqtt.enabled }}
{{- $mqtt := dict "listen" ":8883" "anonymous" false "plaintext" false "tls" (dict "listen" "" "cert" "/etc/plumbline/mqtt-tls/tls.crt" "key" "/etc/plumbline/mqtt-tls/tls.key") }}
{{- $_ := set $mqtt "usersFile" "/etc/plumbline/mqtt-users/users" }}
{{- $_ := set $own "mqtt" $mqtt }}
{{- end -}}
{{- if .Values.jwt.secret }}{{ $_ := set $own "auth" (dict "jwt" (dict "secretFile" "/etc/plumbline/jwt/jwt.key")) }}{{ end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{- /* What cannot work is said before anything is made. */ -}}
{{- define "bridged.check" -}}
{{- $jwt := dig "auth" "jwt" (dict) .Values.config -}}
{{- if not .Values.image.repository }}{{ fail "image.repository is empty: name where you pushed the image that bridge/deploy/Containerfile builds" }}{{ end -}}
{{- if not .Values.tls.secret }}{{ fail "tls.secret is empty: name a secret of type kubernetes.io/tls with the viewers' certificate" }}{{ end -}}
{{- if not (or .Values.jwt.secret (get $jwt "publicKeyFile") (get $jwt "keySetFile") (get $jwt "keySetURL")) }}{{ fail "jwt.secret is empty: name a secret with the key jwt.key, or give config.auth.jwt public keys; each pod would make a key of its own" }}{{ end -}}
{{- if not (or .Values.config.external .Values.mqtt.enabled) }}{{ fail "config.external is empty: name the broker whose messages the bridges shall carry, or set mqtt.enabled for devices to publish to the bridges" }}{{ end -}}
{{- include "bridged.check.mqtt" . }}{{ include "bridged.check.ingress" . -}}
{{- end }}

{{- define "bridged.check.mqtt" -}}
{{- if .Values.mqtt.enabled -}}
{{- if not .Values.mqtt.usersSecret }}{{ fail "mqtt.usersSecret is empty: name a secret with the key users, which bridged user writes: who may publish, with client certificates, too" }}{{ end -}}
{{- $relay := dig "relay" (dict) .Values.config -}}
{{- if and (gt (int .Values.replicas) 1) (not (get $relay "url")) }}{{ fail "mqtt.enabled with several replicas takes config.relay: without it what a device publishes to one pod reaches the viewers of that pod alone" }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "bridged.check.ingress" -}}
{{- if .Values.ingress.enabled -}}
{{- if not .Values.ingress.host }}{{ fail "ingress.host is empty: name the host that viewers go to" }}{{ end -}}
{{- if not .Values.ingress.tlsSecret }}{{ fail "ingress.tlsSecret is empty: name a secret of type kubernetes.io/tls with the certificate of ingress.host" }}{{ end -}}
{{- if not (dig "viewers" "trustedProxies" (list) .Values.config) }}{{ fail "config.viewers.trustedProxies is empty: name the addresses of the ingress controller's pods, or all viewers have its address" }}{{ end -}}
{{- if eq "proxy-protocol" (dig "viewers" "proxyHeader" "" .Values.config) }}{{ fail "config.viewers.proxyHeader is proxy-protocol: an ingress names the viewer by x-forwarded-for" }}{{ end -}}
{{- if ne (empty .Values.ingress.verify.secret) (empty .Values.ingress.verify.name) }}{{ fail "ingress.verify takes both secret (with ca.crt) and name, which is in the pods' certificate" }}{{ end -}}
{{- end -}}
{{- end }}

{{- /* Of ingress-nginx, as bridge/deploy/nginx has it; what the user gives is put over it. */ -}}
{{- define "bridged.ingress" -}}
{{- $p := "nginx.ingress.kubernetes.io/" -}}
{{- $all := dict
  (print $p "backend-protocol") "HTTPS"
  (print $p "proxy-connect-timeout") "5"
  (print $p "proxy-read-timeout") "65"
  (print $p "proxy-send-timeout") "65"
  (print $p "proxy-buffering") "off"
  (print $p "proxy-body-size") "1m"
  (print $p "proxy-next-upstream") "error timeout"
  (print $p "proxy-next-upstream-tries") "3" -}}
{{- if .Values.service.sticky }}{{ $_ := set $all (print $p "upstream-hash-by") "$binary_remote_addr" }}{{ end -}}
{{- with .Values.ingress.verify }}{{ if .secret }}
{{- $_ := set $all (print $p "proxy-ssl-secret") (printf "%s/%s" $.Release.Namespace .secret) }}
{{- $_ := set $all (print $p "proxy-ssl-name") .name }}
{{- $_ := set $all (print $p "proxy-ssl-server-name") "on" }}
{{- $_ := set $all (print $p "proxy-ssl-verify") "on" }}
{{- end }}{{ end -}}
{{- toYaml (mergeOverwrite $all (deepCopy .Values.ingress.annotations)) }}
{{- end }}
