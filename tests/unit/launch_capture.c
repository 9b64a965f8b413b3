/* launch_capture.c - the network of a child with --transparent: its sockets, what is redirected, and that the child can't change it.
 * Skipped, with the reason, where the kernel has no namespaces or no nftables, or the library is missing. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/sock.h"
#include "support/launched.h"

TestSuite(launch_capture, .timeout = 60);

enum { PATIENCE_MS = 30000, ORIGINAL_DST = 80 };

struct ran {
    struct eg_launch *launch;
    int out; /* its stdout */
};

/* A child of bash with that script, going. */
static void start(struct ran *r, const char *script)
{
    char *argv[] = { (char[]){ "/bin/bash" }, (char[]){ "-c" }, (char *)(uintptr_t)script, NULL };
    struct eg_launch_spec spec = { .argv = argv,
                                   .strongest = EG_ENFORCE_NAMESPACES,
                                   .weakest = EG_ENFORCE_NAMESPACES,
                                   .capture = true,
                                   .user = geteuid() == 0 ? "nobody" : NULL };
    struct eg_err err = { 0 };
    int ends[2], saved = dup(1);
    if (access("/bin/bash", X_OK) < 0)
        cr_skip_test("no bash here");
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], 1);
    enum eg_status status = eg_launch_prepare(&spec, &r->launch, &err);
    if (status == EG_OK)
        status = eg_launch_go(r->launch, eg_launched_env, &err);
    dup2(saved, 1);
    close(saved);
    close(ends[1]);
    r->out = ends[0];
    if (status == EG_PERMISSION || (status == EG_IO && strstr(err.text, "nftables")))
        cr_skip_test("%s", err.text);
    cr_assert_eq(status, EG_OK, "%s", err.text);
}

static void finish(struct ran *r, char *out, size_t cap)
{
    size_t n = 0;
    ssize_t k;
    int status = 0;
    while (n + 1 < cap && (k = read(r->out, out + n, cap - 1 - n)) > 0)
        n += (size_t)k;
    out[n] = '\0';
    close(r->out);
    cr_assert_eq(waitpid(eg_launch_pid(r->launch), &status, 0), eg_launch_pid(r->launch));
    eg_launch_ended(r->launch);
    eg_launched_free(r->launch);
}

static const struct eg_launch_entry *entry(const struct ran *r, enum eg_entry kind, unsigned which)
{
    unsigned count;
    const struct eg_launch_entry *e = eg_launch_entries(r->launch, &count);
    for (unsigned i = 0; i < count; i++)
        if (e[i].kind == kind && which-- == 0)
            return &e[i];
    return NULL;
}

static bool is_at(const struct eg_launch_entry *e, const char *address)
{
    char text[EG_ADDR_TEXT];
    return e && strcmp(eg_addr_format(&e->at.addr, text, sizeof text), address) == 0;
}

/* Who came to that socket, and where it wanted to go. */
static void came_for(const struct eg_launch_entry *e, const char *address, uint16_t port)
{
    struct pollfd p = { .fd = e->fd, .events = POLLIN };
    struct sockaddr_storage at;
    struct eg_sockaddr wanted = { .port = 0 }, peer;
    char text[EG_ADDR_TEXT], byte;
    socklen_t n = sizeof at;
    int fd = -1, level = e->at.addr.family == 4 ? SOL_IP : SOL_IPV6;
    cr_assert(poll(&p, 1, PATIENCE_MS) == 1, "nobody came for %s", address);
    cr_assert(eg_sock_accept(e->fd, &fd, &peer, NULL) == EG_OK);
    cr_assert(getsockopt(fd, level, ORIGINAL_DST, &at, &n) == 0 &&
              eg_sockaddr_from((struct sockaddr *)&at, n, &wanted));
    cr_expect(strcmp(eg_addr_format(&wanted.addr, text, sizeof text), address) == 0 &&
                  wanted.port == port,
              "%s %u", text, wanted.port);
    p = (struct pollfd){ .fd = fd, .events = POLLIN };
    cr_expect(poll(&p, 1, PATIENCE_MS) == 1 && recv(fd, &byte, 1, 0) == 1 && byte == 'x');
    close(fd);
}

Test(launch_capture, every_connection_that_is_not_to_the_loopback)
{
    char out[2000];
    struct ran r;
    start(&r, "for at in 198.18.7.7/443 8.8.8.8/53 10.0.0.1/22; do exec 3<>/dev/tcp/$at && echo x "
              ">&3; done;"
              "(exec 3<>/dev/tcp/2001:db8::1/80 && echo x >&3) 2>/dev/null;"
              "for at in 127.0.0.1 198.18.0.1; do (exec 3<>/dev/tcp/$at/9) 2>/dev/null || echo "
              "refused; done");
    const struct eg_launch_entry *v4 = entry(&r, EG_ENTRY_CAPTURE, 0),
                                 *v6 = entry(&r, EG_ENTRY_CAPTURE, 1);
    cr_assert(is_at(v4, "127.0.0.1") && is_at(entry(&r, EG_ENTRY_PROXY, 0), "127.0.0.1") &&
              entry(&r, EG_ENTRY_OPEN, 0));
    came_for(v4, "198.18.7.7", 443);
    came_for(v4, "8.8.8.8", 53);
    came_for(v4, "10.0.0.1", 22);
    if (v6) {
        cr_expect(is_at(v6, "::1") && v6->at.port == v4->at.port);
        came_for(v6, "2001:db8::1", 80);
    }
    finish(&r, out, sizeof out);
    cr_expect_str_eq(out, "refused\nrefused\n", "the child's own addresses stay its own: %s", out);
}

/* DNS to anywhere comes to the one socket; its answer goes back as from there. */
Test(launch_capture, datagrams)
{
    char out[2000], in[64];
    struct ran r;
    struct sockaddr_storage from;
    socklen_t n = sizeof from;
    start(&r, "exec 3<>/dev/udp/9.9.9.9/53 && echo question >&3; timeout 30 dd bs=64 count=1 <&3 "
              "2>/dev/null;"
              "exec 4<>/dev/udp/9.9.9.9/443; echo x >&4; timeout 30 dd bs=64 count=1 <&4 "
              "2>/dev/null || echo nobody");
    const struct eg_launch_entry *udp = entry(&r, EG_ENTRY_NAMES_UDP, 0),
                                 *tcp = entry(&r, EG_ENTRY_NAMES_TCP, 0);
    cr_assert(is_at(udp, "127.0.0.1") && udp->at.port == 53 && is_at(tcp, "127.0.0.1") &&
              tcp->at.port == 53);
    struct pollfd p = { .fd = udp->fd, .events = POLLIN };
    cr_assert(poll(&p, 1, PATIENCE_MS) == 1);
    cr_expect(recvfrom(udp->fd, in, sizeof in, 0, (struct sockaddr *)&from, &n) == 9);
    cr_expect(sendto(udp->fd, "answer\n", 7, 0, (struct sockaddr *)&from, n) == 7);
    finish(&r, out, sizeof out);
    cr_expect_str_eq(out, "answer\nnobody\n", "%s", out);
}

Test(launch_capture, child_can_change_none_of_it)
{
    char out[4000];
    struct ran r;
    start(&r,
          "cat /etc/resolv.conf; grep -c . /etc/hosts; for f in /etc/resolv.conf /etc/hosts; do "
          "(chmod 666 $f; echo x >>$f; mv $f $f.old; rm -f $f) 2>/dev/null; done; grep -c . "
          "/etc/resolv.conf;"
          "(echo 0 > /proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo kept;"
          "ip link set lo down 2>/dev/null; ip route flush table local 2>/dev/null; ip addr flush "
          "dev lo 2>/dev/null;"
          "nft flush ruleset 2>/dev/null; exec 3<>/dev/tcp/198.18.7.7/443 && echo x >&3");
    if (entry(&r, EG_ENTRY_CAPTURE, 0))
        came_for(entry(&r, EG_ENTRY_CAPTURE, 0), "198.18.7.7", 443);
    finish(&r, out, sizeof out);
    cr_expect(strncmp(out, "nameserver 127.0.0.1\nsearch .\n", 30) == 0 ||
                  access("/etc/resolv.conf", R_OK) < 0,
              "%s", out);
    cr_expect(strstr(out, "\n3\n3\nkept\n") || strstr(out, "\n2\n3\nkept\n") ||
                  access("/etc/resolv.conf", R_OK) < 0,
              "%s", out);
}

/* A client that had ended its side lost its connection after a minute of waiting. */
Test(launch_capture, half_closed_connections_are_not_forgotten)
{
    char out[200];
    struct ran r;
    start(&r, "cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{fin,close}_wait 2>/dev/null");
    finish(&r, out, sizeof out);
    cr_expect(strcmp(out, "86400\n86400\n") == 0 || out[0] == '\0', "%s", out);
}
