#!/bin/sh
# pebble 2.4.0 (Debian), an ACME server for tests: with PEBBLE_AUTHZREUSE=0, "the percentage of authorizations that are reused",
# one of a hundred is reused all the same.
#
# Seen: of 1,000 orders of a name that the account has proved, 11 came with an authorization that was valid from the beginning,
# so that no challenge was to be answered. The percentage cannot be negative: nothing switches it off.
#
# A test that counts challenges over several orders fails once in a while: it takes a name, or an account, for each order.
#
# Needs apt-get, python3 with venv and the registry of Python packages. Fails if that changes.
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
pebble=
trap '[ -z "$pebble" ] || kill "$pebble"; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download pebble=2.4.0+ds1-2+b4 >/dev/null 2>&1
dpkg-deb -x pebble_*.deb .
python3 -m venv venv
venv/bin/pip install --quiet acme==5.9.0 cryptography==50.0.2 josepy==2.2.0
cat >config.json <<'JSON'
{"pebble": {"listenAddress": "127.0.0.1:24000", "managementListenAddress": "127.0.0.1:24001", "certificate": "cert.pem",
 "privateKey": "key.pem", "httpPort": 24080, "tlsPort": 24443}}
JSON
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 1 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
PEBBLE_AUTHZREUSE=0 PEBBLE_VA_ALWAYS_VALID=1 PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 \
    usr/bin/pebble -config config.json >pebble.log 2>&1 &
pebble=$!
cat >orders.py <<'PYTHON'
import time
import josepy
from acme import client, messages
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

key = josepy.JWKRSA(key=rsa.generate_private_key(65537, 2048))
net = client.ClientNetwork(key, verify_ssl="cert.pem")
for _ in range(100):
    try:
        directory = client.ClientV2.get_directory("https://127.0.0.1:24000/dir", net)
        break
    except Exception:
        time.sleep(0.1)
acme = client.ClientV2(directory, net=net)
acme.new_account(messages.NewRegistration.from_data(email="owner@example.org", terms_of_service_agreed=True))
of_name = ec.generate_private_key(ec.SECP256R1())
request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
request = request.add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example.org")]), False)
request = request.sign(of_name, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
proved = acme.new_order(request).authorizations[0]
challenge = proved.body.challenges[0]
acme.answer_challenge(challenge, challenge.chall.response(key))
while acme.poll(proved)[0].body.status != messages.STATUS_VALID:
    time.sleep(0.05)
orders = 1000
reused = sum(acme.new_order(request).authorizations[0].body.status == messages.STATUS_VALID for _ in range(orders))
print(f"reused: {reused} of {orders}")
raise SystemExit(not 0 < reused < orders / 20)
PYTHON
venv/bin/python orders.py
