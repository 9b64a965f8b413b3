/* client.c - a client of our own: what the supervisor's helpers ask of token endpoints goes the way of all traffic.
 *
 * Its ingress has no address, speaks HTTP, asks for no token, and leads to internal services only, which no other ingress leads to (route.c).
 * Its requests are recorded as those of the session "egressd", which has no token and no phantom: nobody else can be it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/flow.h"

static struct eg_ingress *ingress_new(struct eg_engine *e)
{
    struct eg_ingress *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    i->engine = e;
    i->fd = -1;
    i->protocols = EG_PROTOCOL_HTTP;
    i->auth = EG_AUTH_NONE;
    i->internal = true;
    return i;
}

static struct eg_session *session_new(void)
{
    struct eg_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    memcpy(s->id, "egressd", sizeof "egressd");
    memcpy(s->label, "egressd", sizeof "egressd");
    return s;
}

enum eg_status eg_engine_client(struct eg_engine *e, int fd, struct eg_err *err)
{
    if (!e->own_ingress)
        e->own_ingress = ingress_new(e);
    if (!e->own_session)
        e->own_session = session_new();
    int flags = fcntl(fd, F_GETFL);
    enum eg_status status = EG_OK;
    if (!e->own_ingress || !e->own_session)
        status = eg_err_set(err, EG_NOMEM, "engine", 0, "no memory for a client");
    else if (!e->current || e->draining)
        status = eg_err_set(err, EG_SHUTTING_DOWN, "engine", 0, "this worker takes no client");
    else if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        status = eg_err_set(err, EG_IO, "engine", 0, "a client that is no socket");
    if (status == EG_OK)
        eg_flow_start(e->own_ingress, fd);
    else
        close(fd);
    return status;
}

void eg_client_drop(struct eg_engine *e)
{
    free(e->own_ingress);
    eg_session_unref(e->own_session);
    e->own_ingress = NULL;
    e->own_session = NULL;
}
