/* egress/status.h - every outcome that egressd has a name for, in one list.
 *
 * One row is: constant, stable short name (the reason code of the audit, the JSON body, X-Egress-Reason
 * and the exit summary), class, HTTP status, SOCKS5 reply (RFC 1928 section 6), sentence for people.
 * Rows that no peer ever sees have HTTP status 0 and SOCKS reply 0. Short names never change meaning. */
#ifndef EGRESS_STATUS_H
#define EGRESS_STATUS_H

#define EG_STATUS_LIST(X)                                                                          \
    /* not refusals */                                                                             \
    X(OK, "ok", NONE, 200, 0x00, "allowed")                                                        \
    X(AGAIN, "again", NONE, 0, 0x00, "would block")                                                \
    X(EOF, "eof", NONE, 0, 0x00, "end of the stream")                                              \
    X(CLOSED, "closed", NONE, 0, 0x00, "the peer is gone")                                         \
    /* faults of ours or of our caller: a peer sees internal_error at most */                      \
    X(NOMEM, "no_memory", INTERNAL, 503, 0x01, "out of memory")                                    \
    X(TOO_BIG, "too_big", INTERNAL, 0, 0x01, "a buffer reached its ceiling")                       \
    X(INVALID, "invalid", INTERNAL, 0, 0x01, "invalid argument or text")                           \
    X(NOT_FOUND, "not_found", INTERNAL, 0, 0x01, "there is no such thing")                         \
    X(EXISTS, "exists", INTERNAL, 0, 0x01, "it exists already")                                    \
    X(IO, "io_error", INTERNAL, 502, 0x01, "input or output failed")                               \
    X(PERMISSION, "permission", INTERNAL, 0, 0x01, "permission denied")                            \
    X(INTERNAL, "internal_error", INTERNAL, 500, 0x01, "internal error")                           \
    /* authentication */                                                                           \
    X(TOKEN_MISSING, "token_missing", AUTH, 407, 0xff, "the session token is missing")             \
    X(TOKEN_INVALID, "token_invalid", AUTH, 407, 0xff, "the session token is not known")           \
    X(TOKEN_EXPIRED, "token_expired", AUTH, 407, 0xff, "the session token has expired")            \
    X(TOKEN_REVOKED, "token_revoked", AUTH, 407, 0xff, "the session token was revoked")            \
    X(PHANTOM_MISSING, "phantom_missing", AUTH, 401, 0x00, "the service's phantom is missing")     \
    X(PHANTOM_INVALID, "phantom_invalid", AUTH, 401, 0x00, "the service's phantom is not valid")   \
    X(CANARY, "canary", AUTH, 403, 0x02, "a phantom or token stands where it does not belong")     \
    /* policy */                                                                                   \
    X(HOST_DENIED, "host_denied", POLICY, 403, 0x02, "a deny rule names this host")                \
    X(HOST_NOT_ALLOWED, "host_not_allowed", POLICY, 403, 0x02, "no rule allows this host")         \
    X(PORT_NOT_ALLOWED, "port_not_allowed", POLICY, 403, 0x02, "no rule allows this port")         \
    X(RULE_DENIED, "rule_denied", POLICY, 403, 0x02, "the rules refuse this method and path")      \
    X(ADDRESS_DENIED, "address_denied", POLICY, 403, 0x02, "the address is in a forbidden range")  \
    X(METADATA_DENIED, "metadata_denied", POLICY, 403, 0x02, "cloud metadata is never reachable")  \
    X(SNI_MISMATCH, "sni_mismatch", POLICY, 403, 0x02, "the TLS server name is not the host asked for") \
    X(NOT_TLS, "not_tls", POLICY, 403, 0x02, "the tunnel's first bytes are not TLS")               \
    X(ROUTE_UNKNOWN, "route_unknown", CLIENT, 404, 0x01, "there is no such route")                 \
    X(NO_ROUTES, "no_routes", CLIENT, 400, 0x01, "this proxy serves no routes")                    \
    X(MISDIRECTED, "misdirected", CLIENT, 421, 0x01, "the Host field names somebody else")         \
    /* malformed requests */                                                                       \
    X(BAD_REQUEST, "bad_request", CLIENT, 400, 0x01, "malformed request")                          \
    X(BAD_TARGET, "bad_target", CLIENT, 400, 0x01, "malformed request-target")                     \
    X(BAD_HOST, "bad_host", CLIENT, 400, 0x01, "malformed host, address or port")                  \
    X(AMBIGUOUS_FRAMING, "ambiguous_framing", CLIENT, 400, 0x01, "ambiguous message framing")      \
    X(BAD_VERSION, "bad_version", CLIENT, 400, 0x01, "unusable HTTP version")                      \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", CLIENT, 405, 0x01, "method not allowed")           \
    X(TRACE, "trace", CLIENT, 405, 0x01, "TRACE is refused")                                       \
    X(HEAD_TOO_LARGE, "head_too_large", LIMIT, 431, 0x01, "the head is larger than its limit")     \
    X(TOO_MANY_FIELDS, "too_many_fields", LIMIT, 431, 0x01, "more header fields than the limit")   \
    X(TARGET_TOO_LONG, "target_too_long", LIMIT, 414, 0x01, "the request-target is too long")      \
    X(BODY_TOO_LARGE, "body_too_large", LIMIT, 413, 0x01, "the body is larger than its limit")     \
    X(EXPECTATION_FAILED, "expectation_failed", CLIENT, 417, 0x01, "unknown expectation")          \
    X(NOT_SUPPORTED, "not_supported", CLIENT, 501, 0x07, "not supported")                          \
    X(VERSION_NOT_SUPPORTED, "not_supported", CLIENT, 505, 0x07, "HTTP version not supported")     \
    /* limits */                                                                                   \
    X(RATE_LIMITED, "rate_limited", LIMIT, 429, 0x01, "too many requests a minute")                \
    X(BYTES_LIMITED, "bytes_limited", LIMIT, 429, 0x01, "the service's byte limit is reached")     \
    X(BUSY_SERVICE, "busy_service", LIMIT, 429, 0x01, "too many requests at once")                 \
    X(TOO_MANY_CONNECTIONS, "too_many_connections", LIMIT, 503, 0x01, "too many connections")      \
    X(SHUTTING_DOWN, "shutting_down", LIMIT, 503, 0x01, "the proxy is shutting down")              \
    X(HEAD_TIMEOUT, "head_timeout", TIMEOUT, 408, 0x01, "the request head came too slowly")        \
    X(BODY_TIMEOUT, "body_timeout", TIMEOUT, 408, 0x01, "the request body came too slowly")        \
    X(IDLE_TIMEOUT, "idle_timeout", TIMEOUT, 0, 0x01, "nothing moved for too long")                \
    X(TOTAL_TIMEOUT, "total_timeout", TIMEOUT, 0, 0x01, "the connection reached its total time")   \
    /* on the way to the origin */                                                                 \
    X(DNS_NOT_FOUND, "dns_not_found", RESOLVE, 502, 0x04, "the name does not exist")               \
    X(DNS_FAILED, "dns_failed", RESOLVE, 502, 0x04, "the name could not be resolved")              \
    X(DNS_TIMEOUT, "dns_timeout", TIMEOUT, 504, 0x04, "no answer from the name servers in time")   \
    X(CONNECT_TIMEOUT, "connect_timeout", TIMEOUT, 504, 0x06, "no connection in time")             \
    X(TLS_TIMEOUT, "tls_timeout", TIMEOUT, 504, 0x04, "the TLS handshake took too long")           \
    X(RESPONSE_TIMEOUT, "response_timeout", TIMEOUT, 504, 0x04, "no response in time")             \
    X(CONNECT_REFUSED, "connect_refused", CONNECT, 502, 0x05, "the origin refused the connection") \
    X(NET_UNREACHABLE, "net_unreachable", CONNECT, 502, 0x03, "the network is unreachable")        \
    X(HOST_UNREACHABLE, "host_unreachable", CONNECT, 502, 0x04, "the host is unreachable")         \
    X(TLS_UNTRUSTED, "tls_untrusted", TLS, 502, 0x01, "the certificate's issuer is not trusted")   \
    X(TLS_NAME, "tls_name", TLS, 502, 0x01, "the certificate is for another name")                 \
    X(TLS_EXPIRED, "tls_expired", TLS, 502, 0x01, "the certificate is not valid at this time")     \
    X(TLS_FAILED, "tls_failed", TLS, 502, 0x01, "the TLS handshake failed")                        \
    X(UPSTREAM_PROXY_AUTH, "upstream_proxy_auth", HOP, 502, 0x01, "the upstream proxy wants other credentials") \
    X(UPSTREAM_PROXY_REFUSED, "upstream_proxy_refused", HOP, 502, 0x05, "the upstream proxy refused") \
    X(UPSTREAM_PROXY_FAILED, "upstream_proxy_failed", HOP, 502, 0x01, "the upstream proxy failed") \
    X(SSH_DOWN, "ssh_down", HOP, 502, 0x01, "there is no session with the ssh gateway")          \
    X(SSH_PROHIBITED, "ssh_prohibited", HOP, 502, 0x02, "the ssh gateway does not allow this destination") \
    X(SSH_REFUSED, "ssh_refused", HOP, 502, 0x05, "the ssh gateway could not connect there")         \
    X(BAD_RESPONSE, "bad_response", ORIGIN, 502, 0x01, "the origin's response is malformed")       \
    X(RESPONSE_TRUNCATED, "response_truncated", ORIGIN, 502, 0x01, "the origin's response was cut short") \
    X(CREDENTIAL_UNAVAILABLE, "credential_unavailable", INTERNAL, 502, 0x01, "the credential could not be had") \
    X(AUDIT_UNWRITABLE, "audit_unwritable", INTERNAL, 503, 0x01, "the audit can't be written")     \
    /* outcomes of an `end` event that are nobody's refusal */                                     \
    X(CLIENT_GONE, "client_gone", NONE, 0, 0x01, "the client went away")                           \
    X(ORIGIN_GONE, "origin_gone", NONE, 0, 0x01, "the origin went away")                           \
    X(WORKER_DIED, "worker_died", INTERNAL, 0, 0x01, "a worker process died")                      \
    X(RELOADED, "reloaded", NONE, 0, 0x00, "a new policy is in force")                             \
    X(RELOAD_FAILED, "reload_failed", INTERNAL, 0, 0x00, "a new policy was refused; the old one stays") \
    X(POLICY_CUT, "policy_cut", POLICY, 0, 0x02, "a new policy denies what was open")

enum eg_status {
#define EG_STATUS_ENUM(name, text, class, http, socks, sentence) EG_##name,
    EG_STATUS_LIST(EG_STATUS_ENUM)
#undef EG_STATUS_ENUM
    EG_STATUS_COUNT
};

enum eg_class {
    EG_CLASS_NONE,
    EG_CLASS_INTERNAL,
    EG_CLASS_AUTH,
    EG_CLASS_POLICY,
    EG_CLASS_CLIENT,
    EG_CLASS_LIMIT,
    EG_CLASS_TIMEOUT,
    EG_CLASS_RESOLVE,
    EG_CLASS_CONNECT,
    EG_CLASS_TLS,
    EG_CLASS_HOP,
    EG_CLASS_ORIGIN,
};

/* A status can't be dropped by accident: every fallible function is declared with this. */
#define EG_MUST_USE __attribute__((warn_unused_result))

/* The stable reason code, e.g. "host_not_allowed"; "invalid" for a number that is none. Static storage. */
const char *egress_status_name(enum eg_status status);
/* The sentence for people, without a full stop. Static storage. */
const char *egress_status_sentence(enum eg_status status);
/* The HTTP status code of a refusal; 0 where no HTTP answer is made of it. */
int egress_status_http(enum eg_status status);
/* The SOCKS5 reply octet (RFC 1928 section 6); 0xff stands for a failed RFC 1929 sub-negotiation. */
int egress_status_socks(enum eg_status status);
enum eg_class egress_status_class(enum eg_status status);

#endif
