#!/usr/bin/env bash
# Makes what compose.yaml mounts from ./secrets: an authority, certificates for the public name, the bridges and the broker, the key of
# tokens, and the broker's passwords. For trying it out; in production bring your own. Usage: ./secrets.sh PUBLIC-NAME
set -euo pipefail
umask 022
public=${1:?usage: ./secrets.sh PUBLIC-NAME, such as bridge.example}
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "secrets.sh: ./secrets is there already: remove it to begin anew" >&2
  exit 1
fi
mkdir -p secrets/haproxy secrets/bridge secrets/broker secrets/ca
ca=secrets/ca
curve=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)
openssl genpkey "${curve[@]}" -out $ca/ca.key
openssl req -x509 -new -key $ca/ca.key -days 3650 -subj "/CN=Plumbline example authority" -addext keyUsage=critical,keyCertSign,cRLSign -out $ca/ca.pem

leaf() { # name of the files, host names
  local names=""
  for host in "${@:2}"; do names+="${names:+,}DNS:$host"; done
  openssl genpkey "${curve[@]}" -out "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA $ca/ca.pem -CAkey $ca/ca.key -CAcreateserial -days 365 -out "$1.pem" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n' "$names")
  rm "$1.csr"
}
leaf $ca/public "$public"
cat $ca/public.pem $ca/public.key >secrets/haproxy/bridge.example.pem
cp $ca/ca.pem secrets/haproxy/bridge-ca.pem
leaf secrets/bridge/bridge bridge.internal "$public" # with the public name the dashboard's page is the bridge's own behind HAProxy too
cp $ca/ca.pem secrets/bridge/ca.pem
leaf secrets/broker/broker broker.internal "$public"
cp $ca/ca.pem secrets/broker/ca.pem

openssl rand -hex 32 >secrets/bridge/jwt.key
password=$(openssl rand -hex 24)
printf 'bridge\n%s\n' "$password" >secrets/bridge/broker
printf 'bridge:%s\n' "$password" >secrets/broker/passwords
mosquitto_passwd -U secrets/broker/passwords # Debian package mosquitto; add devices with mosquitto_passwd secrets/broker/passwords NAME

# The images run as other users than you: bridged as 65532, Mosquitto as 1883, HAProxy as 99. Who may read this folder may read the keys.
chmod -R a+rX secrets
chmod -R go-rwx $ca
