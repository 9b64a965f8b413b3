/* proxy_ways_round.c - ways round the gate that must not be: our own listeners in other spellings or through an upstream, routes at
 * a listener whose certificates stand for sessions; and flows that end while somebody else still works for them. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/sock.h"
#include "stream/stream.h"
#include "support/bed.h"
#include "support/pki.h"
#include "tls/context.h"

static const char OPEN[] = "egress: 1\n"
                           "allow: [{cidr: 0.0.0.0/0, scheme: tcp, ports: any},\n"
                           "        {cidr: \"::/0\", scheme: tcp, ports: any},\n"
                           "        {host: localhost, scheme: tcp, ports: any},\n"
                           "        {host: a.localhost, scheme: tcp, ports: any},\n"
                           "        {host: slow.test, scheme: tcp, ports: any}]\n"
                           "networks: {allow: [127.0.0.0/8, \"::1/128\"]}\n";

static void refused_as(struct eg_bed *b, uint16_t port, const char *host, const char *want)
{
    char text[128], got[13] = "";
    bool eof;
    int fd = eg_bed_connect(port);
    int n = snprintf(text, sizeof text, "CONNECT %s:%u HTTP/1.1\r\n\r\n", host, port);
    cr_assert(send(fd, text, (size_t)n, MSG_NOSIGNAL) == n);
    (void)eg_bed_read(b, fd, got, 12, &eof);
    const char *reason = eg_bed_reason(b);
    cr_expect(memcmp(got + 9, "403", 3) == 0 && strcmp(reason, want) == 0, "%s: %s %s", host, got,
              reason);
    close(fd);
    cr_expect(eg_bed_quiet(b));
}

static void refused(struct eg_bed *b, uint16_t port, const char *host)
{
    refused_as(b, port, host, "address_denied");
}

Test(proxy, own_listener_is_no_destination_in_any_spelling, .timeout = 60)
{
    static const char *const ours[] = { "127.0.0.1",        "0.0.0.0",   "[::ffff:127.0.0.1]",
                                        "[::ffff:0.0.0.0]", "localhost", "a.localhost" };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    eg_bed_new(&b, OPEN, "");
    uint16_t port = eg_bed_listen(&b, &config);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        refused(&b, port, ours[i]);
    eg_bed_free(&b);
}

/* As systemd passes one: [::] that takes IPv4 too. */
Test(proxy, own_listener_of_both_families_is_no_destination, .timeout = 60)
{
    static const char *const ours[] = { "127.0.0.1", "127.9.9.9", "[::1]",
                                        "[::]",      "0.0.0.0",   "[::ffff:127.0.0.1]" };
    const struct eg_sockaddr all = { { .family = 6 }, 0 };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct sockaddr_storage sa;
    socklen_t n = eg_sockaddr_to(&all, &sa);
    struct eg_bed b;
    int off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        cr_skip_test("no IPv6 here");
    cr_assert(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
              bind(fd, (struct sockaddr *)&sa, n) == 0 && listen(fd, 8) == 0);
    cr_assert(eg_sock_local(fd, &config.self));
    eg_bed_new(&b, OPEN, "");
    cr_assert(eg_engine_listen(b.engine, fd, &config, NULL) == EG_OK);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        refused(&b, config.self.port, ours[i]);
    eg_bed_free(&b);
}

Test(proxy, own_listener_is_no_destination_through_an_upstream, .timeout = 60)
{
    static const char *const ours[] = { "127.0.0.1", "0.0.0.0",    "[::ffff:127.0.0.1]",
                                        "localhost", "LOCALHOST.", "a.localhost" };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    char policy[1024];
    struct eg_bed b;
    snprintf(policy, sizeof policy, "%supstream: {proxies: [{proxy: \"http://127.0.0.1:1\"}]}\n",
             OPEN);
    eg_bed_new(&b, policy, "");
    uint16_t port = eg_bed_listen(&b, &config);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        refused(&b, port, ours[i]);
    eg_bed_free(&b);
}

Test(proxy, metadata_is_no_destination_in_any_spelling_through_an_upstream, .timeout = 60)
{
    static const char *const theirs[] = { "169.254.169.254",          "[::ffff:169.254.169.254]",
                                          "[64:ff9b::a9fe:a9fe]",     "[2002:a9fe:a9fe::1]",
                                          "[::169.254.169.254]",      "[fd00:ec2::254]",
                                          "METADATA.google.internal." };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    static const char policy[] = "egress: 1\n"
                                 "allow: [{cidr: 0.0.0.0/0, scheme: tcp, ports: any},\n"
                                 "        {cidr: \"::/0\", scheme: tcp, ports: any},\n"
                                 "        {host: \"*.google.internal\", scheme: tcp, ports: any}]\n"
                                 "upstream: {proxies: [{proxy: \"http://127.0.0.1:1\"}]}\n";
    struct eg_bed b;
    eg_bed_new(&b, policy, "");
    uint16_t port = eg_bed_listen(&b, &config);
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        refused_as(&b, port, theirs[i], "metadata_denied");
    eg_bed_free(&b);
}

/* ---- routes where certificates stand for sessions ---- */

static const char ROUTES[] = "egress: 1\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "credentials: {key: {from: env:X, hosts: [127.0.0.1]}}\n"
                             "services:\n"
                             "  api: {upstream: \"http://127.0.0.1:1\", credential: key}\n"
                             "  plain: {upstream: \"http://127.0.0.1:1\"}\n";

#define MINE   "egress-phantom-of-mine-0000000000000"
#define OTHERS "egress-phantom-of-others-00000000000"

static void session(struct eg_bed *b, const char *id, const char *token, const char *phantom)
{
    const struct eg_session_phantom phantoms[] = { { "api", phantom } };
    const struct eg_session_spec spec = { id, id, token, 0, phantoms, 1 };
    cr_assert(eg_engine_session_put(b->engine, &spec, NULL) == EG_OK);
}

static struct eg_stream *client(struct pki_ca *ca, const char *san, uint16_t port)
{
    const char *names[] = { san, NULL };
    const struct pki_request request = { .names = names, .client = true, .address_as_dns = true };
    struct eg_stream *tcp = NULL, *tls = NULL;
    struct eg_tls_ctx *ctx = NULL;
    struct eg_authority name;
    struct pki_leaf leaf;
    cr_assert(pki_issue(ca, &request, &leaf));
    const struct eg_tls_client_config config = { .ca_pem = { eg_slice_str(pki_ca_pem(ca)) },
                                                 .cert_pem = eg_slice_str(leaf.cert_pem),
                                                 .key_pem = eg_slice_str(leaf.key_pem) };
    cr_assert(eg_tls_client_ctx(&config, &ctx, NULL) == EG_OK);
    cr_assert(eg_host_parse(EG_SLICE("proxy.test"), &name, NULL) == EG_OK);
    cr_assert(eg_stream_tcp(eg_bed_connect(port), &tcp) == EG_OK);
    cr_assert(eg_stream_tls(tcp, ctx, &name, EG_SLICE_NONE, &tls, NULL) == EG_OK);
    eg_tls_ctx_unref(ctx);
    return tls;
}

static void route(struct eg_bed *b, struct pki_ca *ca, uint16_t port, const char *san,
                  const char *service, const char *phantom, const char *reason)
{
    struct eg_stream *c = client(ca, san, port);
    char text[256], got[13] = "";
    size_t done = 0, n = (size_t)snprintf(text, sizeof text,
                                          "GET /%s/x HTTP/1.1\r\nHost: localhost:%u\r\n"
                                          "Authorization: Bearer %s\r\n\r\n",
                                          service, port, phantom);
    enum eg_status status = EG_AGAIN;
    for (int i = 0; i < 5000 && status == EG_AGAIN; i++) {
        status = eg_stream_connect(c, NULL);
        eg_bed_turn(b, 1);
    }
    cr_assert(status == EG_OK && eg_stream_send(c, text, n, &done, NULL) == EG_OK && done == n);
    status = EG_AGAIN;
    for (int i = 0; i < 5000 && status == EG_AGAIN; i++) {
        status = eg_stream_recv(c, got, 12, &done, NULL);
        eg_bed_turn(b, 1);
    }
    const char *said = eg_bed_reason(b);
    cr_expect(status == EG_OK && strcmp(said, reason) == 0, "%s %s %s: %s %s", san, service,
              phantom, got, said);
    eg_stream_free(c);
    cr_expect(eg_bed_quiet(b));
}

Test(proxy, route_at_a_certificate_listener_is_for_its_own_session, .timeout = 60)
{
    const char *names[] = { "proxy.test", NULL };
    const struct eg_listen_session sessions[] = { { EG_SLICE("build.test"), EG_SLICE("mine") },
                                                  { EG_SLICE("192.0.2.7"), EG_SLICE("mine") } };
    struct pki_ca *ca = pki_ca_new("test CA");
    struct pki_leaf server;
    struct eg_bed b;
    cr_assert(ca && pki_issue(ca, &(struct pki_request){ .names = names }, &server));
    struct eg_listen_config config = { .auth = EG_AUTH_CLIENT_CERT,
                                       .cert_pem = eg_slice_str(server.cert_pem),
                                       .key_pem = eg_slice_str(server.key_pem),
                                       .client_ca_pem = eg_slice_str(pki_ca_pem(ca)),
                                       .require_client = true,
                                       .sessions = sessions,
                                       .session_count = 2 };
    eg_bed_new(&b, ROUTES, "");
    session(&b, "mine", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", MINE);
    session(&b, "others", "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
            OTHERS);
    uint16_t port = eg_bed_listen(&b, &config);
    route(&b, ca, port, "build.test", "api", MINE, "credential_unavailable");
    route(&b, ca, port, "build.test", "api", OTHERS, "phantom_invalid");
    route(&b, ca, port, "a.test", "api", MINE, "token_missing");
    route(&b, ca, port, "build.test", "plain", "own-key", "connect_refused");
    route(&b, ca, port, "a.test", "plain", "own-key", "token_missing");
    /* an address that was certified as a DNS name is none */
    route(&b, ca, port, "192.0.2.7", "plain", "own-key", "token_missing");
    eg_engine_session_revoke(b.engine, "mine");
    route(&b, ca, port, "build.test", "plain", "own-key", "token_revoked");
    eg_bed_free(&b);
    pki_ca_free(ca);
}

/* ---- a flow ends while others work for it ---- */

/* A tunnel that waits for what the policy's upstream makes it wait for; then its session ends, or the engine does. */
static void dies_waiting(const char *proxy, const char *more, const char *host, bool engine_too)
{
    struct eg_listen_config config = { .auth = EG_AUTH_TOKEN };
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_sockaddr silent_tcp, silent_udp = any;
    struct sockaddr_storage sa;
    char policy[2048], text[256], got[8];
    struct eg_bed b;
    bool eof;
    int tcp, udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t n = eg_sockaddr_to(&any, &sa);
    cr_assert(udp >= 0 && bind(udp, (struct sockaddr *)&sa, n) == 0 &&
              eg_sock_local(udp, &silent_udp));
    cr_assert(eg_sock_listen(&any, &tcp, &silent_tcp, NULL) == EG_OK);
    snprintf(text, sizeof text, "upstream: {proxies: [{proxy: \"%s:%u\"}]%s}\n", proxy,
             silent_tcp.port, more);
    snprintf(policy, sizeof policy, "%sdns: {servers: [\"127.0.0.1:%u\"]}\n%s", OPEN,
             silent_udp.port, proxy[0] ? text : "upstream: none\n");
    eg_bed_new(&b, policy, "");
    uint16_t port = eg_bed_listen(&b, &config);
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = eg_bed_connect(port);
        int size = snprintf(text, sizeof text,
                            "CONNECT %s:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                            host, silent_tcp.port, EG_BED_TOKEN);
        cr_assert(send(fd[i], text, (size_t)size, MSG_NOSIGNAL) == size);
    }
    for (int i = 0; i < 30; i++)
        eg_bed_turn(&b, 1);
    struct eg_engine_stats stats;
    eg_engine_stats(b.engine, &stats);
    cr_expect_eq(stats.open_flows, 3);
    if (!engine_too) {
        eg_engine_session_revoke(b.engine, "main");
        cr_expect(eg_bed_quiet(&b));
        for (int i = 0; i < 3; i++)
            cr_expect(eg_bed_read(&b, fd[i], got, sizeof got, &eof) == 0 && eof);
    }
    eg_bed_free(&b);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    close(tcp);
    close(udp);
}

Test(proxy, flows_may_end_while_names_hops_and_handshakes_are_waited_for, .timeout = 60)
{
    for (int engine_too = 0; engine_too < 2; engine_too++) {
        dies_waiting("", "", "slow.test", engine_too);
        dies_waiting("socks5://slow.test", "", "localhost", engine_too);
        dies_waiting("socks5://127.0.0.1", "", "slow.test", engine_too);
        dies_waiting("http://127.0.0.1", "", "slow.test", engine_too);
        dies_waiting("http://127.0.0.1", ", resolve: local", "slow.test", engine_too);
    }
}

Test(proxy, socks_handshake_may_time_out_beside_a_chain, .timeout = 60)
{
    static const char policy[] =
        "egress: 1\n"
        "limits: {head_timeout: 1s}\n"
        "upstream: {proxies: [{proxy: \"http://127.0.0.1:1\"}],\n"
        "           bypass: [\".near.test\", \"a.test\", \"10.0.0.0/8\"]}\n";
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    char got[8];
    bool eof;
    eg_bed_new(&b, policy, "");
    int fd = eg_bed_connect(eg_bed_listen(&b, &config));
    cr_assert(send(fd, "\x05\x01\x00\x05", 4, MSG_NOSIGNAL) == 4);
    cr_expect(eg_bed_read(&b, fd, got, sizeof got, &eof) == 2 && eof);
    cr_expect_str_eq(eg_bed_reason(&b), "head_timeout");
    close(fd);
    cr_expect(eg_bed_quiet(&b));
    eg_bed_free(&b);
}

/* The kernel shows everybody whom this namespace does not map as 65534, the owner of a listener that was passed in, too. */
Test(proxy, unix_listener_of_an_unknown_owner_is_not_for_all_unknown_users, .timeout = 60)
{
    enum { NOBODY = 65534 };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    int status = 0;
    if (geteuid() != 0)
        cr_skip_test("only root can be somebody else");
    eg_bed_new(&b, "egress: 1\n", "");
    cr_assert(seteuid(NOBODY) == 0);
    eg_bed_listen_unix(&b, 9, &config);
    cr_assert(seteuid(0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(100);
        (void)eg_bed_connect_unix(9);
        _exit(0);
    }
    cr_assert(pid > 0);
    for (int i = 0; i < 10000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        eg_bed_turn(&b, 1);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int i = 0; i < 20; i++)
        eg_bed_turn(&b, 1);
    cr_expect_str_eq(eg_bed_reason(&b), "permission");
    eg_bed_free(&b);
}

/* What a resolver behind an upstream might take for 127.0.0.1, as the name of a SOCKS5 request. */
Test(proxy, socks_names_that_spell_addresses_reach_no_upstream, .timeout = 60)
{
    static const struct {
        const char *name;
        size_t n;
        char octet;
        const char *reason;
    } rows[] = {
        { "0x7f.1", 6, 1, "bad_host" },
        { "2130706433", 10, 1, "bad_host" },
        { "0x7f000001", 10, 1, "bad_host" },
        { "017700000001", 12, 1, "bad_host" },
        { "127.1", 5, 1, "bad_host" },
        { "127.0.0.1.", 10, 1, "bad_host" },
        { "127.0.0.01", 10, 1, "bad_host" },
        { "127.0.0.1\0.near.test", 20, 1, "bad_host" },
        { "127.0.0.1%lo", 12, 1, "bad_host" },
        { " 127.0.0.1", 10, 1, "bad_host" },
        { "127.0.0.1", 9, 2, "host_denied" },
        { "::1", 3, 2, "host_denied" },
        { "[::1]", 5, 2, "host_denied" },
        { "::ffff:7f00:1", 13, 2, "host_denied" },
        { "0:0:0:0:0:ffff:127.0.0.1", 24, 2, "host_denied" },
    };
    static const char policy[] = "egress: 1\n"
                                 "allow: [{cidr: 127.0.0.0/8, scheme: tcp, ports: [443]},\n"
                                 "        {cidr: \"::/0\", scheme: tcp, ports: [443]}]\n"
                                 "deny: [{cidr: 127.0.0.0/8}, {address: \"::1\"}]\n"
                                 "upstream: {proxies: [{proxy: \"http://127.0.0.1:1\"}]}\n";
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    eg_bed_new(&b, policy, "");
    uint16_t port = eg_bed_listen(&b, &config);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64] = "\x05\x01\x00\x05\x01\x00\x03", got[16] = "";
        size_t n = 7;
        bool eof;
        text[n++] = (char)rows[i].n;
        memcpy(text + n, rows[i].name, rows[i].n);
        n += rows[i].n;
        memcpy(text + n, "\x01\xbb", 2);
        int fd = eg_bed_connect(port);
        cr_assert(send(fd, text, n + 2, MSG_NOSIGNAL) == (ssize_t)(n + 2));
        size_t have = eg_bed_read(&b, fd, got, 12, &eof);
        const char *reason = eg_bed_reason(&b);
        cr_expect(have == 12 && got[3] == rows[i].octet && strcmp(reason, rows[i].reason) == 0,
                  "%zu: %zu bytes, %d %s", i, have, got[3], reason);
        close(fd);
    }
    cr_expect(eg_bed_quiet(&b));
    eg_bed_free(&b);
}
