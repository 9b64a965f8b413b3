/* proxy_accept.c - Unix listeners and whose user they are for, routes on them, our own listeners as destinations, the ceiling of
 * connections for SOCKS clients. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/sock.h"
#include "support/bed.h"

static const char POLICY[] = "egress: 1\n"
                             "allow: [{address: 127.0.0.1, scheme: tcp, ports: any}]\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "services:\n"
                             "  api: {upstream: \"http://127.0.0.1:1\"}\n"
                             "limits: {connections: 4}\n";

/* Sends the text and reads what comes until n bytes, or the end. */
static size_t say(struct eg_bed *b, int fd, const void *text, size_t text_n, char *out, size_t n)
{
    bool eof;
    cr_assert(send(fd, text, text_n, MSG_NOSIGNAL) == (ssize_t)text_n);
    return eg_bed_read(b, fd, out, n, &eof);
}

static void status_of(struct eg_bed *b, const char *host, const char *status, const char *reason)
{
    char text[200], got[13] = "";
    int fd = eg_bed_connect_unix(1);
    snprintf(text, sizeof text, "GET /api/x HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    (void)say(b, fd, text, strlen(text), got, 12);
    const char *said = eg_bed_reason(b);
    cr_expect(memcmp(got + 9, status, 3) == 0 && strcmp(said, reason) == 0, "%s: %s %s", host, got,
              said);
    close(fd);
}

Test(proxy, unix_listener_serves_routes_to_localhost, .timeout = 60)
{
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    eg_bed_new(&b, POLICY, "");
    eg_bed_listen_unix(&b, 1, &config);
    status_of(&b, "localhost", "502", "connect_refused");
    status_of(&b, "LOCALHOST", "502", "connect_refused");
    status_of(&b, "localhost:80", "421", "misdirected");
    status_of(&b, "evil.test", "421", "misdirected");
    status_of(&b, "127.0.0.1", "421", "misdirected");
    eg_bed_free(&b);
}

/* A child of another user; its exit code is 200 when it reads the end at once. */
static pid_t stranger(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (setresgid(4321, 4321, 4321) != 0 || setresuid(4321, 4321, 4321) != 0)
        _exit(100);
    char c;
    int fd = eg_bed_connect_unix(2);
    (void)!send(fd, "\x05\x01\x00", 3, MSG_NOSIGNAL);
    (void)!fcntl(fd, F_SETFL, 0);
    ssize_t n = recv(fd, &c, 1, 0);
    _exit(n > 0 ? 1 : 200);
}

Test(proxy, unix_listener_is_for_its_own_user, .timeout = 60)
{
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    struct egress_event e;
    int status = 0;
    bool seen = false;
    if (geteuid() != 0)
        cr_skip_test("only root can be somebody else");
    eg_bed_new(&b, POLICY, "");
    eg_bed_listen_unix(&b, 2, &config);
    pid_t pid = stranger();
    cr_assert(pid > 0);
    for (int i = 0; i < 10000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        eg_bed_turn(&b, 1);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 200, "%d", WEXITSTATUS(status));
    while (eg_bed_event(&b, &e))
        seen = seen || (e.reason == EG_PERMISSION && !e.allowed && strstr(e.detail, "user 4321"));
    cr_expect(seen);
    eg_bed_free(&b);
}

Test(proxy, own_listener_on_all_addresses_is_no_destination, .timeout = 60)
{
    const struct eg_sockaddr all = { { .family = 4 }, 0 };
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    char text[100], got[13] = "";
    int listener;
    eg_bed_new(&b, POLICY, "");
    cr_assert(eg_sock_listen(&all, &listener, &config.self, NULL) == EG_OK);
    cr_assert(eg_engine_listen(b.engine, listener, &config, NULL) == EG_OK);
    int fd = eg_bed_connect(config.self.port);
    snprintf(text, sizeof text, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", config.self.port);
    (void)say(&b, fd, text, strlen(text), got, 12);
    const char *said = eg_bed_reason(&b);
    cr_expect(memcmp(got + 9, "403", 3) == 0 && strcmp(said, "address_denied") == 0, "%s %s", got,
              said);
    close(fd);
    eg_bed_free(&b);
}

Test(proxy, socks_over_the_ceiling_of_connections, .timeout = 60)
{
    static const char want[] = "\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00";
    struct eg_listen_config config = { .auth = EG_AUTH_NONE };
    struct eg_bed b;
    char got[12];
    int idle[4];
    eg_bed_new(&b, POLICY, "");
    eg_bed_listen_unix(&b, 3, &config);
    for (int i = 0; i < 4; i++) {
        idle[i] = eg_bed_connect_unix(3);
        cr_assert_eq(say(&b, idle[i], "\x05\x01\x00", 3, got, 2), 2);
    }
    int fd = eg_bed_connect_unix(3);
    size_t n = say(&b, fd, "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", 13, got, 12);
    cr_expect(n == 12 && memcmp(got, want, 12) == 0, "%zu", n);
    cr_expect_str_eq(eg_bed_reason(&b), "too_many_connections");
    close(fd);
    for (int i = 0; i < 4; i++)
        close(idle[i]);
    cr_expect(eg_bed_quiet(&b));
    eg_bed_free(&b);
}
