/* policy_errors.c - every code of the compiler with its exact place; every file here has the problems that are listed and no other. */
#include <criterion/criterion.h>

#include "support/policies.h"

#define CHECK(rows) eg_policies_check(rows, sizeof rows / sizeof *rows)
#define E           "egress: 1\n"

Test(policy, errors_of_yaml)
{
    static const struct eg_policies_row rows[] = {
        { E, "-", 0, false },
        { "", "0:0 missing-key", 0, false },
        { "# nothing\n", "0:0 missing-key", 0, false },
        { "allow: []\n", "1:1 missing-key", 0, false },
        { "- a\n", "1:1 bad-type", 0, false },
        { "text\n", "1:1 bad-type", 0, false },
        { E "allow: [a.example, b.example\n", "3:1 syntax", 0, false },
        { E "limits: {connections: 5\n", "3:1 syntax", 0, false },
        { E "name: \"open\n", "2:8 syntax", 0, false },
        { E "name: a: b\n", "2:8 syntax", 0, false },
        { E "egress: 1\n", "2:1 duplicate-key", 0, false },
        { E "allow: []\nname: x\nallow: []\n", "4:1 duplicate-key", 0, false },
        { E "limits: {headers: 9, headers: 9}\n", "2:22 duplicate-key", 0, false },
        { E "allow:\n  - {host: a.example, host: b.example}\n", "3:23 duplicate-key", 0, false },
        { E "name: &a x\n", "2:7 anchor", 0, false },
        { E "name: *a\n", "2:7 anchor", 0, false },
        { E "<<: {name: x}\n", "2:1 anchor", 0, false },
        { E "name: !!str x\n", "2:7 tag", 0, false },
        { E "allow: !set []\n", "2:8 tag", 0, false },
        { "%YAML 1.1\n---\negress: 1\n", "1:1 tag", 0, false },
        { E "---\negress: 1\n", "2:1 multi-doc", 0, false },
        { E "? [a]\n: b\n", "2:3 bad-type", 0, false },
        { E "{a: b}: c\n", "2:1 bad-type", 0, false },
        { E "name:\tx\n", "2:6 tab", 0, false },
        { E "allow:\n\t- a.example\n", "3:1 tab", 0, false },
        { E "# a\ttab in a comment\nname: x # and\there\n", "-", 0, false },
        { "{\n\t\"egress\": 1,\n\t\"allow\": [\"a.example\"]\n}\n", "-", 0, false },
        { E "name: \"a\x01z\"\n", "2:9 bad-byte", 0, false },
        { E "name: \"a\\u0000z\"\n", "2:7 bad-byte", 0, false },
        { E "name: \"a\\nz\"\n", "2:7 bad-byte", 0, false },
        { E "name: |\n  two\n  lines\n", "3:1 bad-byte", 0, false },
        /* an escape brings no more to a terminal than what stands in the file */
        { E "name: \"a\\u009b31m\"\n", "2:7 bad-byte", 0, false },
        { E "name: \"a\\u202ez\"\n", "2:7 bad-byte", 0, false },
        { E "name: \"a\\U000e0041z\"\n", "2:7 bad-byte", 0, false },
        { E "name: \"a\\u00e9z\"\n", "-", 0, false },
        { E "name: a\rb\n", "2:8 bad-byte", 0, false },
        { "egress: 1\r\nname: x\r\n", "-", 0, false },
        { E "name: \xff\xfe\n", "2:7 bad-utf8", 0, false },
        { E "name: \xc0\x80\n", "2:7 bad-utf8", 0, false },
        { E "name: \xed\xa0\x80\n", "2:7 bad-utf8", 0, false },
        { E "name: a\xe2\x80\xae"
            "b\n",
          "2:8 bad-byte", 0, false },
        { E "name: b\xc3\xbc"
            "cher # \xc3\xbc\nvia: 1\n",
          "3:6 bad-type", 0, false },
        { "\xef\xbb\xbf" E "nope: 1\n", "2:1 unknown-key", 0, false },
        { E "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
          "2:38 too-large", 0, false },
    };
    CHECK(rows);
}

/* libfyaml 0.7.12 miscounts these texts: it cut them, padded them with stray bytes of the heap, or lost 4 KiB and returned nothing. */
#define PAIRS8 "''''''''''''''''"
Test(policy, bug_quoted_text_that_libfyaml_miscounts)
{
    static const struct eg_policies_row rows[] = {
        { E "allow: ['" PAIRS8 PAIRS8 PAIRS8 PAIRS8 PAIRS8 PAIRS8 "a.''example', b.example]\n",
          "2:9 syntax", 0, false },
        { E "name: 'x''''y'\n", "2:7 syntax", 0, false },
        { E "name: ''''''\n", "2:7 syntax", 0, false },
        { E "name: 'x''''''yyyyyyyyyyyyyyyyyyyyyyyyyyy'\n", "2:7 syntax", 0, false },
        { E "'x''''y': 1\n'x''''z': 1\n", "2:1 syntax, 3:1 syntax", 0, false },
        { "\xef\xbb\xbf# \xc3\xbc\r\n" E "name: 'x''''y'\r\n", "3:7 syntax", 0, false },
        { E "name: \"a\\\n  b\"\n", "2:7 syntax", 0, false },
        { E "name: \"a\\ \n  b\"\n", "2:7 syntax", 0, false },
        { E "name: \"a\\ \r\n  b\"\n", "2:7 syntax", 0, false },
        { E "name: \"a\\\\\n  b\"\n", "2:7 syntax", 0, false },
    };
    CHECK(rows);
}

Test(policy, quoted_text_is_taken)
{
    static const struct eg_policies_row rows[] = {
        { E "name: '''a''b'' '' '''\n", "-", 0, false },
        { E "name: ''\nallow: ['a.example','b.example']\n", "-", 0, false },
        { E "name: 'it''s\n  two ''lines'' long'\n", "-", 0, false },
        { E "name: \"two\n  lines \\\"\\\"\\\\ long\\\\\"\n", "-", 0, false },
        { E "name: \"''''''\"\n", "-", 0, false },
        { E "name: a''''''b # ''''\n", "-", 0, false },
        { E "name: >-\n  '''''' \\\n  \"b\\\n", "-", 0, false },
    };
    CHECK(rows);
}

Test(policy, errors_of_types)
{
    static const struct eg_policies_row rows[] = {
        { "egress: 2\n", "1:9 bad-value", 0, false },
        { "egress: one\n", "1:9 bad-type", 0, false },
        { "egress: \"1\"\n", "1:9 bad-type", 0, false },
        { "egress: 01\n", "1:9 bad-type", 0, false },
        { "egress: 0x1\n", "1:9 bad-type", 0, false },
        { "egress: [1]\n", "1:9 bad-type", 0, false },
        { "egres: 1\n", "1:1 unknown-key, 1:1 missing-key", 0, false },
        { E "alow: []\n", "2:1 unknown-key", 0, false },
        { E "allow: a.example\n", "2:8 bad-type", 0, false },
        { E "allow: {}\n", "2:8 bad-type", 0, false },
        { E "allow: [[a.example]]\n", "2:9 bad-type", 0, false },
        { E "name:\n", "2:1 bad-type", 0, false },
        { E "name: no\n", "-", 0, false },
        { E "name: 0x10\n", "-", 0, false },
        { E "name: 1e3\n", "-", 0, false },
        { E "name: null\n", "-", 0, false },
        { E "via: yes\n", "2:6 bad-type", 0, false },
        { E "via: True\n", "2:6 bad-type", 0, false },
        { E "via: \"true\"\n", "2:6 bad-type", 0, false },
        { E "via: true\n", "-", 0, false },
        { E "mode: watch\n", "2:7 bad-type", 0, false },
        { E "mode: enforce\n", "-", 0, false },
        { E "limits: {connections: 0}\n", "2:23 bad-value", 0, false },
        { E "limits: {connections: -1}\n", "2:23 bad-type", 0, false },
        { E "limits: {connections: 1e3}\n", "2:23 bad-type", 0, false },
        { E "limits: {connections: 99999999999999999999999}\n", "2:23 bad-type", 0, false },
        { E "limits: {connection: 5}\n", "2:10 unknown-key", 0, false },
        { E "limits: {head_bytes: 0}\n", "2:22 bad-type", 0, false },
        { E "limits: {head_bytes: 64KB}\n", "2:22 bad-type", 0, false },
        { E "limits: {head_bytes: 1}\n", "2:22 bad-value", 0, false },
        { E "limits: {head_bytes: 32KiB}\n", "-", 0, false },
        { E "limits: {head_timeout: 10}\n", "2:24 bad-type", 0, false },
        { E "limits: {head_timeout: 0s}\n", "2:24 bad-type", 0, false },
        { E "limits: {head_timeout: 10 s}\n", "2:24 bad-type", 0, false },
        { E "limits: {head_timeout: 99999999999999999999h}\n", "2:24 bad-type", 0, false },
        { E "limits: {head_timeout: 9000000h}\n", "2:24 bad-value", 0, false },
        { E "limits: {head_timeout: 500ms}\n", "-", 0, false },
        { E "audit: {capacity: 1}\n", "2:19 bad-value", 0, false },
        { E "audit: {destinations: all}\n", "2:23 bad-type", 0, false },
    };
    CHECK(rows);
}

Test(policy, errors_of_rules)
{
    static const struct eg_policies_row rows[] = {
        { E "allow: [\"*\"]\n", "2:9 wildcard-tld", 0, false },
        { E "allow: [\"*.com\"]\n", "2:9 wildcard-tld", 0, false },
        { E "deny: [\"*.com\"]\n", "2:8 wildcard-tld", 0, false },
        { E "allow: [\"*.example.com\"]\n", "-", 0, false },
        { E "allow: [\"a.*.example.com\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"*a.example.com\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"*.*.example.com\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"**.example.com\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [a..example]\n", "2:9 bad-host", 0, false },
        { E "allow: [-a.example]\n", "2:9 bad-host", 0, false },
        { E "allow: [a b.example]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"a%00.example\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [a.example:443]\n", "2:9 bad-host", 0, false },
        { E "allow: [a.example/x]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"https://a.example\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [1.2.3.4]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"::1\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [\"[::1]\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [10.0.0.0/8]\n", "2:9 bad-host", 0, false },
        { E "allow: [127.1]\n", "2:9 bad-host", 0, false },
        { E "allow: [0x7f.1]\n", "2:9 bad-host", 0, false },
        { E "allow: [{host: 127.0.0.1}]\n", "2:16 bad-host", 0, false },
        { E "allow: [b\xc3\xbc"
            "cher.example]\n",
          "2:9 idn-host", 0, false },
        { E "allow: [\"\"]\n", "2:9 bad-host", 0, false },
        { E "allow: [{}]\n", "2:9 bad-rule", 0, false },
        { E "allow: [{why: x}]\n", "2:9 bad-rule", 0, false },
        { E "allow: [{host: a.example, address: 1.1.1.1}]\n", "2:9 bad-rule", 0, false },
        { E "allow: [{hots: a.example}]\n", "2:10 unknown-key", 0, false },
        { E "allow: [{host: a.example, port: [1]}]\n", "2:27 unknown-key", 0, false },
        { E "deny: [{host: a.example, scheme: http}]\n", "2:26 unknown-key", 0, false },
        { E "allow: [{host: a.example, scheme: ftp}]\n", "2:35 bad-type", 0, false },
        { E "allow: [{host: a.example, scheme: tcp}]\n", "2:9 bad-rule", 0, false },
        { E "allow: [{host: a.example, ports: []}]\n", "2:34 bad-value", 0, false },
        { E "allow: [{host: a.example, ports: all}]\n", "2:34 bad-type", 0, false },
        { E "allow: [{host: a.example, ports: [0]}]\n", "2:35 bad-value", 0, false },
        { E "allow: [{host: a.example, ports: [65536]}]\n", "2:35 bad-value", 0, false },
        { E "allow: [{host: a.example, ports: [\"443\"]}]\n", "2:35 bad-type", 0, false },
        { E "allow: [{host: a.example, ports: 443}]\n", "2:34 bad-type", 0, false },
        { E "allow: [{host: a.example, scheme: http, sni: optional}]\n", "2:41 unenforceable-rule",
          0, false },
        { E "allow: [{address: 1.1.1.1, sni: required}]\n", "2:28 unenforceable-rule", 0, false },
        { E "allow: [{host: a.example, max_request_body: 1MiB}]\n", "2:27 unenforceable-rule", 0,
          false },
        { E "allow: [{address: 1.1.1}]\n", "2:19 bad-address", 0, false },
        { E "allow: [{address: localhost}]\n", "2:19 bad-address", 0, false },
        { E "allow: [{address: 010.0.0.1}]\n", "2:19 bad-address", 0, false },
        { E "allow: [{address: \"fe80::1%eth0\"}]\n", "2:19 bad-address", 0, false },
        { E "allow: [{cidr: 10.0.0.1/8}]\n", "2:16 bad-cidr", 0, false },
        { E "allow: [{cidr: 10.0.0.0}]\n", "2:16 bad-cidr", 0, false },
        { E "allow: [{cidr: 10.0.0.0/33}]\n", "2:16 bad-cidr", 0, false },
        { E "allow: [{cidr: \"fd00::/129\"}]\n", "2:16 bad-cidr", 0, false },
        { E "networks: {allow: [10.0.0.0/8, ten]}\n", "2:32 bad-cidr", 0, false },
        { E "networks: {allow_metadata: true}\n", "2:12 org-only", 0, false },
        { E "networks: {allow_metadata: true}\n", "-", EG_LAYER_ORG, false },
        { E "networks: {allow_metadata: true}\n", "2:12 org-only", EG_LAYER_USER, false },
        { E "allow: [metadata.google.internal]\n", "2:9 W unreachable-rule", 0, false },
        { E "allow: [{address: 169.254.169.254}]\n", "2:19 W unreachable-rule", 0, false },
        { E "allow: [localhost]\n", "2:9 W unreachable-rule", 0, false },
        { E "allow: [localhost]\nnetworks: {allow: [127.0.0.0/8]}\n", "-", 0, false },
        { E "allow: [a.example]\ndeny: [a.example]\n", "2:9 W shadowed-by-deny", 0, false },
        { E "allow: [a.b.example]\ndeny: [\"*.b.example\"]\n", "2:9 W shadowed-by-deny", 0, false },
        { E "allow: [\"*.b.example\"]\ndeny: [\"*.b.example\"]\n", "2:9 W shadowed-by-deny", 0,
          false },
        { E "allow: [\"*.b.example\"]\ndeny: [a.b.example]\n", "-", 0, false },
        { E "allow: [{host: a.example, ports: [1, 2]}]\ndeny: [{host: a.example, ports: [1]}]\n",
          "-", 0, false },
        { E "allow: [{host: a.example, ports: [1, 2]}]\ndeny: [{host: a.example, ports: [1, 2, "
            "3]}]\n",
          "2:16 W shadowed-by-deny", 0, false },
        { E "allow: [{cidr: 10.1.0.0/16}]\ndeny: [{cidr: 10.0.0.0/8}]\n", "2:16 W shadowed-by-deny",
          0, false },
        { E "allow: [{cidr: 10.0.0.0/8}]\ndeny: [{cidr: 10.1.0.0/16}]\n", "-", 0, false },
    };
    CHECK(rows);
}

#define S E "services:\n  s: "
#define C "credentials:\n  k: {from: \"env:K\", hosts: [a.example, 127.0.0.1]}\n"

Test(policy, errors_of_services)
{
    static const struct eg_policies_row rows[] = {
        { S "{upstream: \"https://a.example\", credential: k}\n" C, "-", 0, false },
        { S "{}\n", "3:3 missing-key", 0, false },
        { S "{upstreem: x}\n", "3:7 unknown-key", 0, false },
        { S "{preset: opnai}\n", "3:15 unknown-preset", 0, false },
        { S "{upstream: a.example}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"ftp://a.example\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://u:p@a.example\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://a.example?x\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://a.example/%zz\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://a.example/../x\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://a.example:0\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://*.example\"}\n", "3:17 bad-url", 0, false },
        { S "{upstream: \"https://a.example\", route: a/b}\n", "3:45 bad-name", 0, false },
        { S "{upstream: \"https://a.example\", route: \"..\"}\n", "3:45 bad-name", 0, false },
        { E "services:\n  Bad: {upstream: \"https://a.example\"}\n", "3:3 bad-name", 0, false },
        { E "services:\n  -: {upstream: \"https://a.example\"}\n", "3:3 bad-name", 0, false },
        { S "{upstream: \"https://a.example\", credential: nope}\n", "3:50 unknown-credential", 0,
          false },
        { S "{upstream: \"https://b.example\", credential: k}\n" C, "3:50 credential-host", 0,
          false },
        { S "{upstream: \"https://a.example.b.example\", credential: k}\n" C,
          "3:60 credential-host", 0, false },
        { S "{upstream: \"http://a.example\", credential: k}\n" C, "3:17 plaintext-credential", 0,
          false },
        { S "{upstream: \"http://a.example\", credential: k, plaintext: true}\n" C, "-", 0, false },
        { S "{upstream: \"http://127.0.0.1:99\", credential: k}\n" C, "-", 0, false },
        { E "allow: [a.example]\nservices:\n  s: {upstream: \"https://a.example\", credential: "
            "k}\n" C,
          "4:3 W service-host-tunnel", 0, false },
        { E "deny: [a.example]\nservices:\n  s: {upstream: \"https://a.example\"}\n",
          "4:3 W shadowed-by-deny", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, accept: [nowhere]}\n" C,
          "3:62 bad-slot", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, accept: [\"header:a b\"]}\n" C,
          "3:62 bad-header", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, accept: [\"header:Host\"]}\n" C,
          "3:62 bad-header", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, accept: [bearer, basic:password, "
            "\"header:x-key\"]}\n" C,
          "-", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [bearer, \"header:x-org: "
            "acme\"]}\n" C,
          "-", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: bearer}\n" C, "-", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [\"header:x-org: acme\"]}\n" C,
          "3:53 bad-slot", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [\"header:a\"]}\n" C,
          "3:61 bad-slot", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [\"header:Host: {}\"]}\n" C,
          "3:61 bad-header", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [bearer, bearer]}\n" C,
          "3:69 duplicate-name", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, write: [\"header:Authorization: "
            "Basic abc\"]}\n" C,
          "3:61 inline-secret", 0, false },
        { S "{upstream: \"https://a.example\", write: [\"header:x-token: "
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789\"]}\n",
          "3:46 inline-secret", 0, false },
        { S "{upstream: \"https://a.example\", write: [bearer]}\n", "3:38 unknown-credential", 0,
          false },
        { S "{upstream: \"https://a.example\", accept: [bearer]}\n", "3:38 unknown-credential", 0,
          false },
        { S "{upstream: \"https://a.example\", strip: [\"header:x-debug\"]}\n", "-", 0, false },
        { S "{upstream: \"https://a.example\", strip: [x-debug]}\n", "3:46 bad-slot", 0, false },
        { S "{upstream: \"https://a.example\", env: {base_url: \"A B\"}}\n", "3:54 bad-name", 0,
          false },
        { S "{upstream: \"https://a.example\", env: {base_path: v1}}\n", "3:55 bad-path", 0,
          false },
        { S "{upstream: \"https://a.example\", env: {key: K}}\n", "3:44 unknown-credential", 0,
          false },
        { S "{upstream: \"https://a.example\", env: {home: K}}\n", "3:44 unknown-key", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, shape: {length: 5}}\n" C,
          "3:69 bad-value", 0, false },
        { S "{upstream: \"https://a.example\", credential: k, shape: {prefix: \"sk-\", length: "
            "51}}\n" C,
          "-", 0, false },
        { S "{upstream: \"https://a.example\", tls: {verify: none}}\n", "3:44 unknown-key", 0,
          false },
        { S "{upstream: \"https://a.example\", tls: {ca: missing.pem}}\n", "3:48 unreadable-file",
          0, false },
        { S "{upstream: \"https://a.example\", tls: {ca: text.pem}}\n", "3:48 bad-pem", 0, false },
        { S "{upstream: \"https://a.example\", tls: {client_cert: c.pem}}\n", "3:44 missing-key", 0,
          false },
        { S "{upstream: \"https://a.example\", tls: {ca: ca.pem, client_cert: c.pem, client_key: "
            "key.pem}}\n",
          "-", 0, false },
        { S "{upstream: \"http://a.example\", tls: {ca: ca.pem}}\n", "3:37 unenforceable-rule", 0,
          false },
        { S "{upstream: \"https://a.example\", tls: {server_name: \"*.a.example\"}}\n",
          "3:57 bad-host", 0, false },
        { S "{upstream: \"https://a.example\"}\n  t: {upstream: \"https://b.example\", route: s}\n",
          "4:45 duplicate-name", 0, false },
        { E "services:\n  a-b: {upstream: \"https://a.example\"}\n  a.b: {upstream: "
            "\"https://b.example\"}\n",
          "4:3 duplicate-name", 0, false },
        { S "{upstream: \"http://localhost:80\"}\n", "3:17 W unreachable-rule", 0, false },
    };
    CHECK(rows);
}

#define K E "credentials:\n  k: "

Test(policy, errors_of_credentials)
{
    static const struct eg_policies_row rows[] = {
        { K "{from: \"env:K\", hosts: [a.example]}\n", "-", 0, false },
        { K "{from: \"env:K\", hosts: a.example}\n", "-", 0, false },
        { K "{from: \"file:/etc/key\", hosts: [a.example]}\n", "-", 0, false },
        { K "{from: \"keyring:s/a\", hosts: [\"*.a.example\"]}\n", "-", 0, false },
        { K "{from: \"env:K\"}\n", "3:3 missing-key", 0, false },
        { K "{from: \"env:K\", hosts: []}\n", "3:22 bad-value", 0, false },
        { K "{from: \"env:K\", hosts: [\"*\"]}\n", "3:30 wildcard-tld", 0, false },
        { K "{hosts: [a.example]}\n", "3:3 missing-key", 0, false },
        { K "{from: \"env:\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: \"env:A-B\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: \"file:\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: \"keyring:s\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: \"keyring:/a\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: hunter2, hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { K "{from: sk-abcdefghijklmnopqrstuvwx, hosts: [a.example]}\n", "3:13 inline-secret", 0,
          false },
        { K "{from: ghp_abcdefghijklmnopqrstuvwxyz0123456789, hosts: [a.example]}\n",
          "3:13 inline-secret", 0, false },
        { K "{from: AKIAIOSFODNN7EXAMPLE, hosts: [a.example]}\n", "3:13 inline-secret", 0, false },
        { K "{from: \"env:ghp_abcdefghijklmnopqrstuvwxyz0123456789\", hosts: [a.example]}\n",
          "3:13 inline-secret", 0, false },
        { K "{from: b7Fq2Lx9Kp4Zt8Wm3Nv6Rc1Yd5, hosts: [a.example]}\n", "3:13 inline-secret", 0,
          false },
        { K "{from: \"cmd:[/bin/x]\", hosts: [a.example]}\n", "3:13 bad-source", 0, false },
        { E "credentials:\n  \"a b\": {from: \"env:K\", hosts: [a.example]}\n", "3:3 bad-name", 0,
          false },
    };
    CHECK(rows);
}

Test(policy, errors_of_settings)
{
    static const struct eg_policies_row rows[] = {
        { E "dns: {servers: [127.0.0.1, \"127.0.0.1:5353\", \"[::1]:53\"]}\n", "-", 0, false },
        { E "dns: {servers: []}\n", "2:7 bad-value", 0, false },
        { E "dns: {servers: [ns.example]}\n", "2:17 bad-address", 0, false },
        { E "tls: {ca: ca.pem}\n", "-", 0, false },
        { E "tls: {ca: missing}\n", "2:11 unreadable-file", 0, false },
        { E "tls: {system: false}\n", "2:7 bad-value", 0, false },
        { E "tls: {ca: ca.pem, system: false}\n", "-", 0, false },
        { E "tls: {verify: none}\n", "2:7 unknown-key", 0, false },
        { E "mode: observe\n", "2:7 W observe-mode", 0, false },
        { E "mode: enforce\n", "-", 0, false },
        { E "mode: observe\n", "2:7 untrusted-key", 0, true },
        { E "mode: enforce\n", "-", 0, true },
        { E "mode: watch\n", "2:7 bad-type", 0, false },
        { E "extends: [preset:x]\n", "2:11 unknown-preset", 0, false },
        { E "intercept: true\n", "2:1 not-available", 0, false },
        { E "tests: []\n", "-", 0, false },
        { E "rules: []\n", "2:1 unknown-key", 0, false },
        { E "final: [limits]\n", "2:1 org-only", 0, false },
        { E "final: [limits]\n", "-", EG_LAYER_ORG, false },
    };
    CHECK(rows);
}

Test(policy, errors_of_untrusted_files)
{
    static const struct eg_policies_row rows[] = {
        { E "name: x\nmode: enforce\nallow: [a.example]\ndeny: [b.example]\n", "-", 0, true },
        { E "via: true\n", "2:1 untrusted-key", 0, true },
        { E "networks: {allow: []}\n", "2:1 untrusted-key", 0, true },
        { E "credentials: {}\n", "2:1 untrusted-key", 0, true },
        { E "upstream: none\n", "2:1 untrusted-key", 0, true },
        { E "listen: []\n", "2:1 untrusted-key", 0, true },
        { E "dns: {}\n", "2:1 untrusted-key", 0, true },
        { E "tls: {ca: x}\n", "2:1 untrusted-key", 0, true },
        { E "audit: {}\n", "2:1 untrusted-key", 0, true },
        { E "intercept: true\n", "2:1 untrusted-key", 0, true },
        { E "final: []\n", "2:1 untrusted-key", 0, true },
        { E "tests: []\n", "-", 0, true },
        { E "extends: [x]\n", "2:11 unreadable-file", 0, true },
        { E "limits: {connections: 10}\n", "-", 0, true },
        { E "limits: {connections: 1024}\n", "-", 0, true },
        { E "limits: {connections: 1025}\n", "2:10 untrusted-key", 0, true },
        { E "limits: {idle_timeout: 11m, head_timeout: 5s}\n", "2:10 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\"}\n", "-", 0, true },
        { S "{upstream: \"https://a.example\", route: r}\n", "-", 0, true },
        { S "{upstream: \"https://a.example\", credential: k}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", write: [\"header:a: b\"]}\n", "3:38 untrusted-key",
          0, true },
        { S "{upstream: \"https://a.example\", accept: [bearer]}\n", "3:38 untrusted-key", 0,
          true },
        { S "{upstream: \"https://a.example\", strip: [\"header:a\"]}\n", "3:38 untrusted-key", 0,
          true },
        { S "{upstream: \"https://a.example\", env: {key: A}}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", tls: {ca: x}}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", plaintext: true}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"https://a.example\", shape: {}}\n", "3:38 untrusted-key", 0, true },
        { S "{upstream: \"http://127.0.0.1:2375\"}\n", "3:17 untrusted-key", 0, true },
        { S "{upstream: \"http://10.0.0.1\"}\n", "3:17 untrusted-key", 0, true },
        { S "{upstream: \"http://198.200.1.1\"}\n", "3:17 untrusted-key", 0, true },
        { S "{upstream: \"http://[64:ff9b::a00:1]\"}\n", "3:17 untrusted-key", 0, true },
        { S "{upstream: \"http://93.184.216.34\"}\n", "-", 0, true },
        { E "allow: [{address: 93.184.216.34}]\n", "-", 0, true },
        { E "allow: [{address: 127.0.0.1}]\n", "2:19 untrusted-key", 0, true },
        { E "allow: [{address: 198.200.1.1}]\n", "2:19 untrusted-key", 0, true },
        { E "allow: [{address: \"::ffff:8.8.8.8\"}]\n", "2:19 untrusted-key", 0, true },
        { E "allow: [{address: \"64:ff9b::8.8.8.8\"}]\n", "2:19 untrusted-key", 0, true },
        { E "allow: [{cidr: 0.0.0.0/0}]\n", "2:16 untrusted-key", 0, true },
        { E "allow: [{cidr: 8.0.0.0/6}]\n", "2:16 untrusted-key", 0, true },
        { E "allow: [{cidr: 198.200.0.0/16}]\n", "2:16 untrusted-key", 0, true },
        { E "allow: [{cidr: \"::/0\"}]\n", "2:16 untrusted-key", 0, true },
        { E "allow: [{cidr: 93.184.216.0/24}]\n", "-", 0, true },
        { E "deny: [{cidr: 10.0.0.0/8}]\n", "-", 0, true },
    };
    CHECK(rows);
}
