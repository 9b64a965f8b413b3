/* help_reasons.c - a paragraph for each outcome of EG_STATUS_LIST, for `egressctl help REASON`. Data alone.
 *
 * The sentence, the class, the HTTP status and the SOCKS reply are in the list itself and not repeated here. */
#include "cmd/help_reasons.h"

#include <stddef.h>

static const char *const pages[EG_STATUS_COUNT] = {
    [EG_OK] = "Nothing was refused. In an audit event's decision it stands where a rule allowed "
              "the request.",
    [EG_AGAIN] = "An inner state: more has to arrive first. No client ever sees it.",
    [EG_EOF] = "An inner state: the stream ended where it should. No client ever sees it.",
    [EG_CLOSED] =
        "The other side closed the connection before it was done; see client_gone and origin_gone.",
    [EG_NOMEM] = "There was no memory for the exchange. Lower limits.connections, or give the "
                 "process more memory.",
    [EG_TOO_BIG] =
        "Something is larger than the ceiling that holds for it. The message says what it was.",
    [EG_INVALID] = "An argument, a file or a message from elsewhere is not well-formed. The "
                   "message says where.",
    [EG_NOT_FOUND] = "A file, session or name that was asked for is not there.",
    [EG_EXISTS] = "Something of that name is there already, and is not written over.",
    [EG_IO] =
        "Reading or writing failed in the system. The message has the system's own word for it.",
    [EG_PERMISSION] = "The system does not permit it, or a file or folder may be written to by "
                      "others than its owner.",
    [EG_INTERNAL] =
        "A fault of the proxy itself. Please report it with the event's id and the log.",
    [EG_TOKEN_MISSING] =
        "A CONNECT or plain request came without Proxy-Authorization. The proxy variables of "
        "`egressctl run` and `egressctl env` have the token in the URL's user "
        "information: use them whole. A client that keeps its proxy in a file of its own needs the "
        "same URL there.",
    [EG_TOKEN_INVALID] =
        "The token is of another proxy or session, or was cut. Take the variables anew: eval "
        "\"$(egressctl env)\". Each run has a token of its own, and old shells keep old ones.",
    [EG_TOKEN_EXPIRED] =
        "The session had a lifetime (session create --ttl), and it is over. Create another.",
    [EG_TOKEN_REVOKED] = "Somebody ended the session with `egressctl session revoke`. If that was "
                         "not meant, create another.",
    [EG_PHANTOM_MISSING] = "A request to a route came without the phantom in any of the places "
                           "that the service accepts. The variable that `egressctl env` shows for "
                           "the service (NAME_API_KEY, say) holds it; the client "
                           "must send it where it would send the real key, or `accept:` of the "
                           "service must name the place that the client uses.",
    [EG_PHANTOM_INVALID] = "What stands where the phantom belongs is another value: a real key, or "
                           "the phantom of another session. Take the variables anew, and remove "
                           "real keys from the child's environment; `egressctl doctor` finds "
                           "them.",
    [EG_CANARY] = "A phantom or a session token was about to go where it does not belong: to "
                  "another host, or in a place of the head that no service accepts. Nothing was "
                  "sent. Look at the event: either a client is configured for the wrong base "
                  "URL, or something tries to carry keys out.",
    [EG_HOST_DENIED] = "A deny rule names this host, and deny beats allow, whichever file says it. "
                       "`egressctl explain HOST` shows the rule's place. If the rule is wrong, "
                       "narrow or remove it; no allow rule can override it.",
    [EG_HOST_NOT_ALLOWED] =
        "No rule allows this host: what is not allowed is refused. `egressctl explain HOST` shows "
        "the least rule that would allow it. For an address there must be an address: or cidr: "
        "rule; a host rule never covers "
        "literals.",
    [EG_PORT_NOT_ALLOWED] = "A rule names the host, but not this port, or not with this scheme. "
                            "https is port 443 and http port 80 unless the rule has ports:. "
                            "`egressctl explain HOST:PORT` shows what is allowed and what to add.",
    [EG_RULE_DENIED] = "The host or service is allowed, but its rules do not let this method and "
                       "path through, or a deny rule names it, or the path could be read in two "
                       "ways. `egressctl explain -X METHOD URL` shows the closest rule.",
    [EG_ADDRESS_DENIED] = "The name is allowed, but it leads to an address that names may not lead "
                          "to: loopback, private, link-local or reserved ranges, or an address of "
                          "this machine. One bad address of several refuses all. If the network is "
                          "meant, name its range in networks.allow, in a trusted file; if not, "
                          "somebody's DNS points inwards.",
    [EG_METADATA_DENIED] =
        "The address or name is a cloud's metadata service, which hands out credentials of the "
        "machine. Only networks.allow_metadata in /etc/egress/org.yaml opens it.",
    [EG_SNI_MISMATCH] = "Inside the tunnel TLS asked for another server than the CONNECT named, "
                        "which is how one allowed host is used to reach another. Ask for the host "
                        "that is meant. A client that sends no server name needs sni: optional in "
                        "its rule.",
    [EG_NOT_TLS] =
        "The rule's scheme is https, and what the client sent first is not TLS. If another "
        "protocol is meant, write scheme: tcp with its ports, or scheme: http for plain HTTP.",
    [EG_ROUTE_UNKNOWN] = "The first segment of the path is no route of the policy. Base URLs are "
                         "http://127.0.0.1:PORT/ROUTE/...; `egressctl env` shows those that exist.",
    [EG_NO_ROUTES] = "The client sent a request as to a web server, and the policy has no "
                     "services. Either it should use the proxy (CONNECT, or the absolute form), or "
                     "a service is missing in the policy.",
    [EG_MISDIRECTED] = "The Host field of a request to a route names somebody else, or the Host "
                       "inside of a CONNECT tunnel is not the CONNECT's. That is what a web page "
                       "in a browser, or a confused client, sends; use the base URL as it is.",
    [EG_BAD_REQUEST] = "The request's head breaks HTTP's grammar. Refused and not repaired, since "
                       "others would read it otherwise.",
    [EG_BAD_TARGET] =
        "The request-target is none of the forms of RFC 9112, or its scheme is not http.",
    [EG_BAD_HOST] = "The host, address or port has a form that programs read differently: octal "
                    "addresses, zones, user information, odd bytes. Write it in its plain form.",
    [EG_AMBIGUOUS_FRAMING] = "It can't be said for certain where the message ends (Content-Length "
                             "beside Transfer-Encoding, several lengths, an odd coding). This is "
                             "what request smuggling is made of; mend the client.",
    [EG_BAD_VERSION] = "The version is not HTTP/1.0 or HTTP/1.1.",
    [EG_METHOD_NOT_ALLOWED] = "The method can't be used there at all, whatever the policy says.",
    [EG_TRACE] = "TRACE would show the child the credential that was put into its request.",
    [EG_HEAD_TOO_LARGE] = "The head is larger than limits.head_bytes (64 KiB by default).",
    [EG_TOO_MANY_FIELDS] = "The head has more fields than limits.headers (128 by default).",
    [EG_TARGET_TOO_LONG] =
        "The request-target is longer than limits.target_bytes (16 KiB by default).",
    [EG_BODY_TOO_LARGE] = "The body is larger than max_request_body of the rule, or than the 1 MiB that is held of a "
                          "request that is signed anew (aws_sigv4).",
    [EG_EXPECTATION_FAILED] = "The Expect field wants something else than 100-continue.",
    [EG_NOT_SUPPORTED] = "The proxy does not do this: a SOCKS command other than CONNECT, SOCKS4, "
                         "a WebSocket at a service without websocket: true, a coding it does not "
                         "know. HTTP's upgrade to another protocol is refused too.",
    [EG_VERSION_NOT_SUPPORTED] =
        "The HTTP version is not supported: use HTTP/1.1 towards the proxy.",
    [EG_RATE_LIMITED] =
        "The session has sent as many requests in this minute as limits.requests_per_minute of the "
        "service allows. Retry-After says when to try again.",
    [EG_BYTES_LIMITED] =
        "The session has sent or received as many bytes in this minute as the service's limits "
        "allow (request_bytes, response_bytes). Retry-After says when to try again.",
    [EG_BUSY_SERVICE] = "As many requests as limits.concurrent of the service allows are under "
                        "way. Try again when one is done.",
    [EG_TOO_MANY_CONNECTIONS] =
        "limits.connections is reached. Raise it, in a trusted file, or close connections.",
    [EG_SHUTTING_DOWN] = "The proxy was told to stop: open exchanges end, new ones are refused.",
    [EG_HEAD_TIMEOUT] = "The client did not send the whole head within limits.head_timeout.",
    [EG_BODY_TIMEOUT] = "The client stopped sending the body for limits.body_timeout.",
    [EG_IDLE_TIMEOUT] = "Nothing moved either way for limits.idle_timeout. Long quiet connections "
                        "need a larger value, in a trusted file, or keep-alives.",
    [EG_TOTAL_TIMEOUT] = "The connection was as old as limits.total_timeout allows.",
    [EG_DNS_NOT_FOUND] = "The name servers say that there is no such name. Mind that search "
                         "domains are not used: write the whole name.",
    [EG_DNS_FAILED] = "The name servers failed or refused (SERVFAIL, REFUSED, a broken answer). "
                      "dns.servers chooses others.",
    [EG_DNS_TIMEOUT] = "No name server answered within limits.dns_timeout. Look whether they can "
                       "be reached from where the proxy runs.",
    [EG_CONNECT_TIMEOUT] =
        "No address of the host could be connected within limits.connect_timeout. A firewall that "
        "drops packets looks like this; an upstream proxy may be needed.",
    [EG_TLS_TIMEOUT] =
        "The host was connected, but the TLS handshake was not done within limits.tls_timeout.",
    [EG_RESPONSE_TIMEOUT] =
        "The origin took the request and sent no response within limits.response_timeout.",
    [EG_CONNECT_REFUSED] = "Nobody listens at that port of the host.",
    [EG_NET_UNREACHABLE] = "There is no route to that network from where the proxy runs.",
    [EG_HOST_UNREACHABLE] = "The network says that the host can't be reached.",
    [EG_TLS_UNTRUSTED] =
        "The origin's certificate is not issued by a CA that is trusted. For a private CA name its "
        "certificate in tls.ca, or a key in tls.pin; verification can't be switched off. Behind a "
        "proxy that opens TLS, that proxy's CA is "
        "what is missing.",
    [EG_TLS_NAME] = "The certificate is for another name. If the upstream is meant to have it, say "
                    "so with tls.server_name.",
    [EG_TLS_EXPIRED] =
        "The certificate is out of date, or not yet valid: or this machine's clock is wrong.",
    [EG_TLS_FAILED] = "The handshake failed: no common version (at least TLS 1.2) or cipher, a "
                      "client certificate that was wanted, or an answer that is no TLS.",
    [EG_UPSTREAM_PROXY_AUTH] =
        "The proxy that is to be gone through answered 407: its credential is missing or wrong. "
        "Name it with credential: in upstream; the detail says which hop it is.",
    [EG_UPSTREAM_PROXY_REFUSED] =
        "The proxy that is to be gone through refused this destination by its own rules.",
    [EG_UPSTREAM_PROXY_FAILED] = "The proxy that is to be gone through could not connect, or broke "
                                 "its protocol. The detail says which hop it is.",
    [EG_SSH_DOWN] =
        "There is no session with the ssh gateway. Try `ssh HOST` as the user that runs the proxy: "
        "ssh's own configuration, keys and known hosts are used, and nothing is asked.",
    [EG_SSH_PROHIBITED] = "The ssh gateway's configuration (AllowTcpForwarding, PermitOpen) "
                          "forbids this destination.",
    [EG_SSH_REFUSED] = "The ssh gateway could not connect to the destination.",
    [EG_BAD_RESPONSE] =
        "The origin's answer breaks HTTP's grammar or is ambiguous, or it has a coding that can't "
        "be searched for the credential. The child gets nothing of it.",
    [EG_RESPONSE_TRUNCATED] =
        "The origin ended the connection before its answer was whole. The child's connection is "
        "cut too, so that the part does not look like all.",
    [EG_CREDENTIAL_UNAVAILABLE] =
        "The service's credential could not be read from its source. `egressctl creds list` says "
        "which one and why, `egressctl creds test` tries again.",
    [EG_AUDIT_UNWRITABLE] = "audit.strict holds, and the event could not be written to audit.file: "
                            "the disk may be full. What can't be recorded does not pass.",
    [EG_CLIENT_GONE] =
        "The client closed its connection before the exchange was over. Nobody's fault.",
    [EG_ORIGIN_GONE] = "The origin closed the connection in the middle of a tunnel or a WebSocket.",
    [EG_WORKER_DIED] = "A worker process ended unexpectedly, and its connections with it. Another "
                       "took its place; please report it.",
    [EG_RELOADED] = "A new policy is in force. Open connections were judged again.",
    [EG_RELOAD_FAILED] = "The policy files changed, and the new ones are not valid: the old policy "
                         "stays in force. `egressctl policy check` says what is wrong.",
    [EG_POLICY_CUT] = "A connection that was open is denied by the new policy, and was cut.",
};

const char *eg_help_reason(enum eg_status status)
{
    return (unsigned)status < EG_STATUS_COUNT ? pages[status] : NULL;
}
