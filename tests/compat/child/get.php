<?php
// get.php WHAT URL: one GET with curl or with streams, with nothing but the environment and php.ini. What fails is printed as PHP prints it.
[, $what, $url] = $argv;
if ($what === 'streams') {
    $body = file_get_contents($url);
} else {
    $curl = curl_init($url);
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_FAILONERROR => true]);
    $body = curl_exec($curl);
    if ($body === false) {
        fwrite(STDERR, 'curl: ' . curl_error($curl) . "\n");
    }
}
if ($body === false) {
    exit(1);
}
echo $body;
