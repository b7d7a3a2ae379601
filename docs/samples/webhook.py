"""Is this message from who has the secret? Body on standard input, headers as arguments."""
import base64, hashlib, hmac, sys, time


def genuine(secret, message_id, timestamp, signatures, body, now=None):
    """body is the bytes as they came, before any parsing."""
    if not timestamp.isdigit() or abs((now or time.time()) - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    want = "v1," + base64.b64encode(mac).decode()
    return any(hmac.compare_digest(s, want) for s in signatures.split())  # two while a secret is changed


if __name__ == "__main__":
    sys.exit(0 if genuine(*sys.argv[1:5], sys.stdin.buffer.read()) else 1)
