/* capture.c - a connection of a program that knows no proxy. The kernel of the child's network redirected it to us and
 * says where it was to go; the name that this address stands for is what the child looked up (names.h). From there on it
 * is a CONNECT without its head: the same gate, the same steps, the run's own session.
 *
 * What is judged is what is connected (invariant 2): the address of the name is asked for anew, outside; the one that
 * the child connected to is only a name's number. An address that stands for nothing known is never connected to, and a
 * literal one is the policy's to judge. A refusal is told in the client's protocol once its first flight shows which
 * that is (refuse.c). */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"
#include "proxy/flow.h"
#include "proxy/names.h"

/* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST: the kernel's headers for them do not go together with libc's. */
enum { ORIGINAL_DST = 80 };

static bool kernel_knows(int fd, struct eg_sockaddr *ret)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    if (getsockopt(fd, SOL_IP, ORIGINAL_DST, &at, &n) == 0)
        return eg_sockaddr_from((struct sockaddr *)&at, n, ret);
    n = sizeof at;
    return getsockopt(fd, SOL_IPV6, ORIGINAL_DST, &at, &n) == 0 &&
           eg_sockaddr_from((struct sockaddr *)&at, n, ret);
}

static bool wanted(const struct eg_flow *f, struct eg_sockaddr *ret)
{
    const struct eg_engine *e = f->engine;
    return (e->wanted ? e->wanted(e->ctx, ret)
                      : kernel_knows(eg_stream_raw_fd(f->client.stream), ret)) &&
           ret->port != 0;
}

/* Not redirected: somebody inside called this port itself. */
static bool is_loopback(const struct eg_addr *a)
{
    static const struct eg_addr v4 = { .family = 4, .b = { 127 } },
                                v6 = { .family = 6, .b = { [15] = 1 } };
    return eg_addr_in(a, &v4, 8) || eg_addr_eq(a, &v6);
}

static enum eg_status destination(struct eg_flow *f, struct eg_authority *to, const char **detail)
{
    struct eg_sockaddr at;
    if (!wanted(f, &at) || is_loopback(&at.addr)) {
        *detail = "this port is for connections that were redirected to it";
        return EG_BAD_TARGET;
    }
    eg_authority_from_addr(&at.addr, at.port, to);
    if (!eg_names_covers(&at.addr))
        return EG_OK;
    if (!f->engine->names || !eg_names_name(f->engine->names, &at.addr, to)) {
        eg_gate_unjudged(f->ticket, to, NULL, EG_SLICE("CONNECT"));
        *detail = "no name stands for this address (any more): look the name up again";
        return EG_DNS_NOT_FOUND;
    }
    to->port = at.port;
    to->port_given = true;
    return EG_OK;
}

enum eg_step eg_capture_step(struct eg_flow *f)
{
    struct eg_session *session = NULL;
    struct eg_authority to;
    const char *detail = NULL;
    enum eg_status status = eg_client_session(f, &session);
    f->session = eg_session_ref(session);
    eg_flow_begin(f, EGRESS_VIA_CAPTURED);
    if (status == EG_OK && f->engine->stats.open_flows > f->snapshot->limits->connections)
        status = EG_TOO_MANY_CONNECTIONS;
    if (status == EG_OK)
        status = destination(f, &to, &detail);
    return status == EG_OK ? eg_tunnel_start(f, &to) : eg_refuse(f, status, false, detail);
}

enum eg_status eg_capture_names(struct eg_engine *e, int fd, bool stream, struct eg_err *err)
{
    unsigned n = e->names_server_count;
    enum eg_status status = e->names ? EG_OK : eg_names_new(&e->names);
    if (status == EG_OK && n == sizeof e->names_servers / sizeof *e->names_servers)
        status = EG_TOO_BIG;
    if (status != EG_OK) {
        close(fd);
        return eg_err_set(err, status, "engine", 0, "no resolver for the child");
    }
    status = eg_names_serve(e->loop, e->names, fd, stream, &e->names_servers[n], err);
    e->names_server_count += status == EG_OK;
    return status;
}

void eg_capture_drop(struct eg_engine *e)
{
    while (e->names_server_count > 0)
        eg_names_stop(e->names_servers[--e->names_server_count]);
    eg_names_free(e->names);
    e->names = NULL;
}
