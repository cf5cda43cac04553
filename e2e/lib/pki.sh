# Why: certificates and kubeconfigs of the cluster: one certificate authority, one client certificate for each part.

PKI_DAYS=3650

pki_ensure() {
  PKI=$STATE/pki
  if [[ -e $PKI/done ]]; then return 0; fi
  say "certificates"
  mkdir -p "$PKI" "$STATE/conf"
  chmod 700 "$PKI"
  cat >"$PKI/openssl.conf" <<'EOF'
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
EOF
  openssl req -x509 -config "$PKI/openssl.conf" -extensions ca -days $PKI_DAYS -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
    -noenc -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -subj /CN=strix-e2e-ca 2>/dev/null
  openssl genrsa -out "$PKI/service-accounts.key" 2048 2>/dev/null
  pki_certificate apiserver server /CN=kube-apiserver \
    "subjectAltName=IP:127.0.0.1,IP:$HOST_IP,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  pki_certificate apiserver-kubelet client /O=system:masters/CN=kube-apiserver-kubelet-client
  pki_kubeconfig admin /O=system:masters/CN=strix-e2e-admin 127.0.0.1 "$STATE/kubeconfig"
  pki_kubeconfig controller-manager /CN=system:kube-controller-manager 127.0.0.1 "$STATE/conf/controller-manager.kubeconfig"
  pki_kubeconfig scheduler /CN=system:kube-scheduler 127.0.0.1 "$STATE/conf/scheduler.kubeconfig"
  pki_kubeconfig proxy /CN=system:kube-proxy "$HOST_IP" "$STATE/conf/proxy.kubeconfig"
  touch "$PKI/done"
}

pki_certificate() { # NAME KIND SUBJECT [EXTENSION]
  openssl req -x509 -config "$PKI/openssl.conf" -extensions "$2" -days $PKI_DAYS -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc \
    -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" -subj "$3" ${4:+-addext "$4"} 2>/dev/null ||
    die "openssl could not make the certificate $1"
}

pki_kubeconfig() { # NAME SUBJECT HOST FILE: a kubeconfig with its certificate inside, good from any folder
  pki_certificate "$1" client "$2"
  (
    umask 077
    cat >"$4" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: strix-e2e
  cluster:
    server: https://$3:$API_PORT
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
contexts:
- name: strix-e2e
  context: {cluster: strix-e2e, user: $1}
current-context: strix-e2e
EOF
  )
}
