<?php
// Is this message from who has the secret? Body on standard input, headers as arguments.

// $body is the bytes as they came, before any parsing.
function muster_genuine(string $secret, string $id, string $timestamp, string $signatures, string $body): bool {
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > 300) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret), true);
    $want = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    foreach (explode(' ', $signatures) as $signature) { // two while a secret is changed
        if (hash_equals($want, $signature)) {
            return true;
        }
    }
    return false;
}

if (realpath($_SERVER['SCRIPT_FILENAME'] ?? '') === __FILE__) {
    exit(muster_genuine($argv[1], $argv[2], $argv[3], $argv[4], stream_get_contents(STDIN)) ? 0 : 1);
}
