<?php
// Ask Muster about one application (JSON on standard input) and say what a sign-up page does next.

// Posts twice at most: the same reference is the same application. Our fail mode is hold:
// without an answer nothing opens, nothing is lost, and the customer is told that we will write.
function muster_ask(string $server, string $token, string $application): array {
    for ($try = 0; $try < 2; $try++) {
        $context = stream_context_create(['http' => [
            'method' => 'POST', 'content' => $application, 'timeout' => 3, 'ignore_errors' => true, 'follow_location' => 0,
            'header' => ["Authorization: Bearer $token", 'Content-Type: application/json'],
        ]]);
        $http_response_header = null;
        $body = @file_get_contents("$server/v1/applications", false, $context);
        $answer = $body === false ? null : json_decode($body, true);
        if (!is_array($answer) || !preg_match('#^HTTP/\S+ (\d{3})#', $http_response_header[0] ?? '', $m)) {
            continue;
        }
        if ($m[1] === '200' || $m[1] === '201') {
            $todo = ['active' => 'open', 'limited' => 'open within limits', 'pending' => 'wait'];
            return [$todo[$answer['account_state']] ?? 'do not open', $answer];
        }
        if ($m[1] === '422') {
            return ['correct', $answer]; // show errors beside their fields
        }
    }
    return ['hold', []]; // keep the application, post it again later
}

if (realpath($_SERVER['SCRIPT_FILENAME'] ?? '') === __FILE__) {
    [$todo, $answer] = muster_ask(getenv('MUSTER_SERVER'), getenv('MUSTER_TOKEN'), stream_get_contents(STDIN));
    echo "$todo\n";
    foreach ($answer['decision']['needs'] ?? [] as $need) {
        echo "  {$need['words']}\n";
    }
    foreach ($answer['errors'] ?? [] as $error) {
        echo "  {$error['pointer']} {$error['detail']}\n";
    }
    if (!empty($answer['next'])) {
        echo "  {$answer['next']}\n";
    }
}
