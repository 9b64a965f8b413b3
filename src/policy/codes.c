/* codes.c - the table of codes. Data alone, in the order of the names; long since every code has its page here.
 *
 * A page says why there is such a problem at all, and the way out; what is wrong at one place is the diagnostic's own text. */
#include "policy/codes.h"

#include <string.h>

#define E "egress: 1\n"

static const struct eg_code rows[] = {
    { "anchor", EG_DIAG_ERROR, "anchors, aliases and merge keys are not part of the language",
      "A reviewer reads a policy from top to bottom and must see at each place what holds there; "
      "an anchor moves text to another place, and aliases of "
      "aliases make a small file enormous.\n"
      "Write the value out where it is used; a wildcard such as \"*.a.example\" stands in quotes. "
      "What several policies share goes into a file that they extend.",
      E "allow: &hosts [a.example]\n", E "allow: [a.example]\n", 0, false },
    { "bad-address", EG_DIAG_ERROR, "this is no IP address in its canonical form",
      "An address is four decimal numbers (IPv4), or IPv6 as RFC 4291 has it, without a zone. "
      "Octal, hexadecimal and shortened IPv4 forms are refused, since "
      "programs differ in what they take them for. Names stand under host:, never under address:.",
      E "allow:\n  - {address: 010.0.0.1}\n", E "allow:\n  - {address: 93.184.216.34}\n", 0,
      false },
    { "bad-bypass", EG_DIAG_ERROR, "an item of bypass is no host, suffix, address or range",
      "What goes round the upstream proxy is named as a host, .suffix, an address or a CIDR range, "
      "each with :PORT where only that port is meant. In a policy a "
      "wrong item is an error; one of NO_PROXY is left out with a warning.",
      E "upstream:\n  proxies: [{proxy: \"http://proxy.example:3128\"}]\n  resolve: local\n  "
        "bypass: [\"*.*\"]\n",
      E "upstream:\n  proxies: [{proxy: \"http://proxy.example:3128\"}]\n  resolve: local\n  "
        "bypass: [.corp.example]\n",
      0, false },
    { "bad-byte", EG_DIAG_ERROR, "a control character, or one that hides or turns text",
      "NUL, control characters, line breaks within a value, and characters that turn or hide what "
      "follows would make a reviewer see another text than the one that "
      "holds. Remove them; a value stands on one line.",
      E "name: \"two\\nlines\"\n", E "name: one-line\n", 0, false },
    { "bad-chain", EG_DIAG_ERROR, "these proxies can't be one behind the other",
      "A chain has at most 4 hops, and an ssh:// gateway can only be the first of them: ssh "
      "connects by itself. More than one gateway is ProxyJump, in ssh's own "
      "configuration.",
      E "upstream:\n  resolve: local\n  proxies: [{proxy: \"http://p.example:3128\"}, {proxy: "
        "\"ssh://gate.example\"}]\n",
      NULL, 0, false },
    { "bad-cidr", EG_DIAG_ERROR, "this is no range in CIDR form",
      "A range is ADDRESS/LENGTH, and the bits behind the length are zero: 10.0.0.0/8, not "
      "10.0.0.1/8. A single address stands under address:, or has /32 or /128.",
      E "allow:\n  - {cidr: 93.184.216.1/24}\n", E "allow:\n  - {cidr: 93.184.216.0/24}\n", 0,
      false },
    { "bad-extends", EG_DIAG_ERROR, "this is neither a preset of rules nor a local file",
      "extends takes preset:NAME, {preset: NAME, with: {...}} and files, which are relative to the "
      "file that names them. What a URL holds can change after the review, so there are no URLs: "
      "keep a copy beside the policy. A preset that is a service stands under services.",
      E "extends: https://a.example/team.yaml\n", E "extends: preset:agent-baseline\n", 0, false },
    { "bad-header", EG_DIAG_ERROR, "this is no header field that a policy may name here",
      "A header field is named by a token of RFC 9110 (letters, digits, hyphens). Fields that "
      "frame a message, route it or end at the next hop are the proxy's own to "
      "write and can't be set, accepted or stripped.",
      E "services:\n  s: {upstream: \"https://a.example\", strip: [\"header:Host\"]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", strip: [\"header:x-debug\"]}\n", 0,
      false },
    { "bad-host", EG_DIAG_ERROR, "this is no host name or wildcard",
      "A host pattern is an exact name, or *.example.com: one or more labels below it, never "
      "example.com itself. It has no scheme, port or path: those have keys of their "
      "own. Addresses and ranges stand under address: and cidr:.",
      E "allow: [\"https://a.example/v1\"]\n", E "allow: [a.example]\n", 0, false },
    { "bad-name", EG_DIAG_ERROR, "this name can't be used here",
      "Names of services, routes and credentials are parts of paths, variables and messages: 1 to "
      "64 of a-z 0-9 . _ -, beginning with a letter or digit. Names of variables "
      "are letters, digits and _, and do not begin with a digit.",
      E "services:\n  My Service: {upstream: \"https://a.example\"}\n",
      E "services:\n  my-service: {upstream: \"https://a.example\"}\n", 0, false },
    { "bad-path", EG_DIAG_ERROR, "this is no rule on a method and a path",
      "A rule is METHOD /PATH, both required: `GET /v1/models/*`, `* /v1/**`. * is within one "
      "segment, ** any number of whole segments, {a,b} either. A path that could be read in "
      "two ways (dot segments, backslashes, encoded control characters) is refused in rules as it "
      "is in requests.",
      E "services:\n  s: {upstream: \"https://a.example\", rules: [\"/v1/models\"]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", rules: [\"GET /v1/models\"]}\n", 0,
      false },
    { "bad-pem", EG_DIAG_ERROR, "the file does not hold the PEM block that is needed",
      "Certificates are wanted as BEGIN CERTIFICATE blocks, keys as BEGIN PRIVATE KEY (PKCS#8), "
      "RSA or EC blocks without a passphrase. DER and PKCS#12 files have to be converted.",
      E "tls: {ca: text.pem}\n", E "tls: {ca: ca.pem}\n", 0, false },
    { "bad-pin", EG_DIAG_ERROR, "this is not the pin of a key",
      "A pin is sha256/ and the base64 of the SHA-256 of the certificate's public key "
      "(SubjectPublicKeyInfo), as curl --pinnedpubkey takes it.",
      E "services:\n  s: {upstream: \"https://a.example\", tls: {pin: \"sha1/AAAA\"}}\n",
      E "services:\n  s: {upstream: \"https://a.example\", tls: {pin: "
        "\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}}\n",
      0, false },
    { "bad-rule", EG_DIAG_ERROR,
      "the rule names no destination, or more than one, or lacks its ports",
      "Each rule names exactly one of host, address and cidr; scheme: tcp carries anything and so "
      "names its ports. Two destinations are two rules.",
      E "allow:\n  - {host: a.example, scheme: tcp}\n",
      E "allow:\n  - {host: a.example, scheme: tcp, ports: [22]}\n", 0, false },
    { "bad-slot", EG_DIAG_ERROR, "this is no place of a request that can hold a credential",
      "accept takes bearer, header:FIELD, basic:password, query:KEY, cookie:NAME and path:N; strip "
      "takes header:, query: and cookie:. write takes bearer, header:FIELD: TEXT, "
      "basic:USER:PASSWORD, query:KEY=TEXT, cookie:NAME=TEXT and path:/TEXT/, with {} where the "
      "credential goes, at least once.",
      E "services:\n  s: {upstream: \"https://a.example\", strip: [x-debug]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", strip: [\"header:x-debug\"]}\n", 0,
      false },
    { "bad-source", EG_DIAG_ERROR, "a credential can't be read from there",
      "Sources are env:NAME, file:PATH, keyring:SERVICE/ACCOUNT, kernel:DESCRIPTION, systemd:NAME, "
      "{cmd: [/absolute/path, args...]}, op://, bw://, pass:, secret-tool:, gh: and gcloud:, or the "
      "derived oauth2: and aws_sigv4:. "
      "The value itself is never written into a policy.",
      E "credentials:\n  k: {from: \"env:A-B\", hosts: [a.example]}\n",
      E "credentials:\n  k: {from: \"env:A_B\", hosts: [a.example]}\n", 0, false },
    { "bad-test", EG_DIAG_ERROR, "this entry of tests asks nothing that could be answered",
      "A test asks one question: connect: \"HOST:PORT\", request: \"METHOD URL\", or service: "
      "NAME with request: \"METHOD /PATH\"; expect: says allow, deny or would_deny.\n"
      "rule: and reason: say by which rule and why; egressctl policy test prints what they are.",
      E "tests: [{connect: a.example, expect: deny}]\n",
      E "tests: [{connect: \"a.example:443\", expect: deny}]\n", 0, false },
    { "bad-type", EG_DIAG_ERROR, "the value is of another type than its key wants",
      "Values are typed by their key and never guessed. Truth is true or false, numbers are plain "
      "digits, both without quotes; sizes are 64KiB, 8MiB; times are 500ms, 10s, 5m, 24h; the rest "
      "is text, a list or a map as egress.yaml(5) says.",
      E "via: yes\n", E "via: true\n", 0, false },
    { "bad-url", EG_DIAG_ERROR, "this is no URL that is taken here",
      "An upstream is https://HOST[:PORT][/PATH], or http:// where that is safe: no user, no "
      "query, no fragment. A proxy is http, https, socks5, socks5h, socks5+tls or ssh, HOST and "
      "PORT.",
      E "services:\n  s: {upstream: a.example}\n",
      E "services:\n  s: {upstream: \"https://a.example\"}\n", 0, false },
    { "bad-utf8", EG_DIAG_ERROR, "the file is not UTF-8",
      "Save the file as UTF-8. Bytes of another encoding would be shown differently than they are "
      "read.",
      E "name: \xff\n", E "name: x\n", 0, false },
    { "bad-value", EG_DIAG_ERROR, "the value is out of its range, or useless where it stands",
      "Every number has a lowest and a highest value; 0 never means 'no limit', and no limit can "
      "be switched off. egress.yaml(5) has the ranges.",
      E "limits: {connections: 0}\n", E "limits: {connections: 64}\n", 0, false },
    { "credential-host", EG_DIAG_ERROR, "the credential is not bound to the service's host",
      "hosts: of a credential is the list of hosts that may ever get it, so that a changed "
      "upstream can't send it elsewhere. Add the host there, if it is right, or correct the "
      "upstream.",
      E "services:\n  s: {upstream: \"https://b.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      0, false },
    { "duplicate-key", EG_DIAG_ERROR, "the key stands twice in one map",
      "One of the two would be ignored, and nobody could say which. Keep one.",
      E "allow: [a.example]\nname: x\nallow: [b.example]\n", E "allow: [a.example, b.example]\n", 0,
      false },
    { "duplicate-name", EG_DIAG_ERROR, "two things have the same name, route or variable",
      "Routes, variables and what is written into a request must be unique. Give one of the two "
      "services another route: or env:.",
      E "services:\n  s: {upstream: \"https://a.example\"}\n  t: {upstream: \"https://b.example\", "
        "route: s}\n",
      E
      "services:\n  s: {upstream: \"https://a.example\"}\n  t: {upstream: \"https://b.example\"}\n",
      0, false },
    { "extends-cycle", EG_DIAG_ERROR, "a file extends itself, directly or through others",
      "What a file extends counts before the file itself, which has no meaning in a circle. Remove "
      "the name from one of the files, or move what both need into a third one.",
      NULL, NULL, 0, false },
    { "final-key", EG_DIAG_ERROR, "the organisation's file keeps this key for itself",
      "org.yaml lists keys under final: no file of a user or repository and no option of a command "
      "line sets them, or what is below them. The message names the line of org.yaml. Remove the "
      "key, or ask whoever keeps org.yaml.",
      NULL, NULL, 0, false },
    { "idn-host", EG_DIAG_ERROR, "a host with other letters than ASCII is written with A-labels",
      "Two names that look alike can be different hosts. The A-label (xn--...) is the name that is "
      "looked up, compared and shown; the message says which it is.",
      E "allow: [b\xc3\xbc"
        "cher.example]\n",
      E "allow: [xn--bcher-kva.example]\n", 0, false },
    { "inline-secret", EG_DIAG_ERROR,
      "this looks like a secret; a policy names where a secret is, never the secret",
      "Policies are committed, reviewed and copied. Put the value into an environment variable, a "
      "file, a keyring or a password manager and name that with from:. If it was committed, revoke "
      "it: it is "
      "known. Messages do not repeat it.",
      E "credentials:\n  k: {from: ghp_abcdefghijklmnopqrstuvwxyz0123456789, hosts: [a.example]}\n",
      E "credentials:\n  k: {from: \"env:TOKEN\", hosts: [a.example]}\n", 0, false },
    { "missing-key", EG_DIAG_ERROR, "a key that is required is missing",
      "Every file begins with egress: 1, the version of the language; other keys are required "
      "where they stand, as egress.yaml(5) says.",
      "name: x\n", E "name: x\n", 0, false },
    { "multi-doc", EG_DIAG_ERROR, "a second document begins here",
      "One file is one policy: what stands behind a second --- would be easy to overlook. Several "
      "files are united by their layers, and by extends.",
      E "---\n" E, E, 0, false },
    { "not-available", EG_DIAG_ERROR,
      "the language has this key, but this version does not build it",
      "It is refused and not ignored: a policy never means less than it says. egress.yaml(5) lists "
      "such keys under RESERVED KEYS.",
      E "intercept: true\n", NULL, 0, false },
    { "observe-mode", EG_DIAG_WARNING, "mode: observe lets through what no deny rule names",
      "Deny rules, forbidden addresses and metadata are still refused; everything else passes and "
      "is recorded as would_deny. It is for finding the rules a policy needs. Turn to mode: "
      "enforce, or remove the key, "
      "once they are written.",
      E "mode: observe\n", E "mode: enforce\n", 0, false },
    { "open-listener", EG_DIAG_ERROR, "others than this machine's user could use the listener",
      "A listener on another than a loopback address wants client certificates (tls.client_ca), or "
      "--allow-remote on the command line of who starts it: then this is a warning. So is auth: "
      "none on a loopback.",
      E "listen:\n  - {address: \"0.0.0.0:3128\"}\n",
      E "listen:\n  - {address: \"127.0.0.1:3128\"}\n", 0, false },
    { "org-only", EG_DIAG_ERROR, "only the organisation's file may say this",
      "allow_metadata opens cloud metadata, which hands out credentials of the machine, and final "
      "keeps keys from all other files: both stand in /etc/egress/org.yaml or nowhere.",
      E "networks: {allow_metadata: true}\n", NULL, 0, false },
    { "plaintext-credential", EG_DIAG_ERROR, "a credential would cross the network in clear text",
      "http:// with a credential is taken to a loopback address, or with plaintext: true where the "
      "way there is known to be safe. A proxy's credential over http:// or socks5:// is a warning: "
      "many proxies have nothing "
      "else.",
      E "services:\n  s: {upstream: \"http://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      0, false },
    { "redaction-off", EG_DIAG_WARNING,
      "redact: false lets an upstream echo the credential to the child",
      "Responses are searched for the credential, and it is overwritten. Turn that off only for an "
      "upstream that is known not to echo what it gets, and whose answers must not be touched.",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k, redact: "
        "false}\ncredentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      0, false },
    { "remote-resolution", EG_DIAG_WARNING,
      "the upstream proxy resolves names: which addresses they have is its business",
      "With resolve: remote, the default behind a proxy, a name that leads into a private network "
      "is the proxy's to refuse; here only names, literal addresses and metadata names are judged. "
      "resolve: local looks every "
      "name up here and judges each address.",
      E "upstream:\n  - {proxy: \"http://proxy.example:3128\"}\n",
      E "upstream:\n  proxies: [{proxy: \"http://proxy.example:3128\"}]\n  resolve: local\n", 0,
      false },
    { "service-host-tunnel", EG_DIAG_WARNING, "an allow rule opens a way round the service",
      "A service opens its route and nothing else. Where allow names the same host, the child may "
      "also open a tunnel to it: with a key of its own, and round the service's rules. Remove the "
      "allow rule, if the route is enough.",
      E "allow: [a.example]\nservices:\n  s: {upstream: \"https://a.example\", credential: "
        "k}\ncredentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      0, false },
    { "shadowed-by-deny", EG_DIAG_WARNING, "a deny rule covers all that this rule allows",
      "Deny beats allow, however specific the allow rule is and whichever file says it. One of the "
      "two rules has no effect as intended: narrow the deny rule, or remove the allow rule.",
      E "allow: [a.b.example]\ndeny: [\"*.b.example\"]\n",
      E "allow: [\"*.b.example\"]\ndeny: [a.b.example]\n", 0, false },
    { "syntax", EG_DIAG_ERROR, "this is not YAML, or a form of it that is not taken",
      "The file is strict YAML 1.2, and JSON is valid too. An unclosed bracket is reported where "
      "the file ends, with the place where it was opened. Text with : or # in it wants quotes.",
      E "allow: [a.example\n", E "allow: [a.example]\n", 0, false },
    { "tab", EG_DIAG_ERROR, "a tab where YAML wants blanks",
      "YAML indents with blanks; a tab looks like some of them and counts as none. Tabs are taken "
      "in comments and in JSON.",
      E "allow:\n\t- a.example\n", E "allow:\n  - a.example\n", 0, false },
    { "tag", EG_DIAG_ERROR, "tags and directives are not part of the language",
      "Values are typed by their key. Remove !!str and the like; %YAML and %TAG lines too.",
      E "name: !!str x\n", E "name: x\n", 0, false },
    { "too-large", EG_DIAG_ERROR, "there is more of it than is taken",
      "A file has at most 4 MiB, 32 levels and 400,000 values, and lists and maps have ceilings of "
      "their own, so that no file takes long to read. Split the policy, or use wildcards and "
      "ranges.",
      E "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", NULL, 0,
      false },
    { "trust-changed", EG_DIAG_WARNING, "a file that was trusted has changed since",
      "`egressctl trust FILE` trusts a file with all that it extends, as they are at that moment. "
      "Once one of them changes, the file counts like any other that nobody reviewed. Look at what "
      "changed, then trust it again, or end the record with `egressctl trust --remove FILE`.",
      NULL, NULL, 0, false },
    { "unenforceable-rule", EG_DIAG_ERROR,
      "the rule asks for something that could not be seen there",
      "Methods and paths are seen in a service's route and under scheme: http; a tunnel (scheme: "
      "https, tcp) shows host and port alone. So a rule on requests, or on their bodies, that "
      "stands on a tunnel is an error: it would "
      "hold nothing back. Make the host a service, or remove the rule.",
      E "allow:\n  - {host: a.example, rules: [\"GET /**\"]}\n",
      E "allow:\n  - {host: a.example, scheme: http, rules: [\"GET /**\"]}\n", 0, false },
    { "unknown-credential", EG_DIAG_ERROR, "there is no credential of that name",
      "Credentials are declared under credentials:, in this file or in a layer below, with from: "
      "and hosts:. Keys that write or accept a credential want a service that has one.",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\n",
      E "services:\n  s: {upstream: \"https://a.example\", credential: k}\ncredentials:\n  k: "
        "{from: \"env:K\", hosts: [a.example]}\n",
      0, false },
    { "unknown-key", EG_DIAG_ERROR, "there is no such key here",
      "A key that is not known is never ignored: it may be a misspelt limit or deny. The message "
      "names the nearest one, and egress.yaml(5) has them all.",
      E "alow: [a.example]\n", E "allow: [a.example]\n", 0, false },
    { "unknown-preset", EG_DIAG_ERROR, "there is no such preset of this kind",
      "A preset is part of the program: `egressctl preset list` shows all. One that is a service "
      "stands under services, one that is a set of rules under extends.",
      E "services:\n  api: {preset: opnai}\n", E "services:\n  api: {preset: openai}\n", 0, false },
    { "unreachable-rule", EG_DIAG_WARNING, "the rule changes nothing as it stands",
      "What it allows is refused elsewhere whatever it says (cloud metadata, a name for the "
      "loopback), or its narrowing is undone by a wider rule on the same host. Remove it or the "
      "other one.",
      E "allow: [metadata.google.internal]\n", NULL, 0, false },
    { "unreadable-file", EG_DIAG_ERROR, "a file that the policy names can't be read",
      "Paths of certificates and keys are relative to the folder of the policy that names them. "
      "The message says why it failed.",
      E "tls: {ca: missing.pem}\n", E "tls: {ca: ca.pem}\n", 0, false },
    { "untrusted-key", EG_DIAG_ERROR, "an untrusted file may not say this",
      "A repository's file may be written by anybody who opens a pull request, or by the child "
      "itself. Until it is trusted it may name hosts and routes and lower limits, but nothing that "
      "moves credentials, proxies, listeners, name "
      "servers or trust, and no private addresses.\n"
      "After review, `egressctl trust FILE` trusts this very content, and `--trust` trusts it for "
      "one run, as in CI. What is the machine's and not the repository's belongs into user.yaml or "
      "org.yaml.",
      E "tls: {ca: ca.pem}\n", E "allow: [a.example]\n", 0, true },
    { "wildcard-tld", EG_DIAG_ERROR, "the wildcard would allow too much of the internet",
      "* alone and *.com cover hosts of everybody. Name the domains, each with its own wildcard "
      "where it needs one.",
      E "allow: [\"*.com\"]\n", E "allow: [\"*.a.example\"]\n", 0, false },
};

const struct eg_code *eg_code_each(unsigned i)
{
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

const struct eg_code *eg_code_find(const char *name)
{
    size_t low = 0, high = sizeof rows / sizeof *rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, rows[middle].name);
        if (order == 0)
            return &rows[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
