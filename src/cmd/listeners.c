/* listeners.c - opens the listening sockets that workers share: from the command line, a child's
 * namespace, or the policy.
 *
 * Invariants: they are opened once; a reload changes none of them; --listen moves a listener but
 * never takes TLS or the token from it. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/state.h"
#include "net/sock.h"

static enum eg_status add(struct eg_supervisor *s, const struct eg_listen_spec *from, int fd,
                          struct eg_err *err)
{
    if (s->listener_count == EG_SUP_LISTENERS) {
        if (fd >= 0)
            close(fd);
        return eg_err_set(err, EG_TOO_BIG, "listen", 0, "more than %d listeners", EG_SUP_LISTENERS);
    }
    struct eg_sup_listener *l = &s->listeners[s->listener_count++];
    *l = (struct eg_sup_listener){ .fd = fd, .at = from->at, .auth = from->auth };
    if (from->cert_pem.n > 0) {
        l->cert = strndup(from->cert_pem.p, from->cert_pem.n);
        l->key = strndup(from->key_pem.p, from->key_pem.n);
        if (!l->cert || !l->key)
            return EG_NOMEM;
    }
    return fd >= 0 ? EG_OK : eg_sock_listen(&from->at, &l->fd, &l->at, err);
}

/* The policy's listener that --listen moves: one with TLS before others, so that the command
 * line never weakens it. */
static void base_of(const struct eg_policy *policy, struct eg_listen_spec *spec)
{
    unsigned n = eg_policy_listen_count(policy);
    memset(spec, 0, sizeof *spec);
    if (n > 0)
        eg_policy_listen(policy, 0, spec);
    for (unsigned i = 1; i < n && spec->cert_pem.n == 0; i++) {
        struct eg_listen_spec other;
        eg_policy_listen(policy, i, &other);
        if (other.cert_pem.n > 0)
            *spec = other;
    }
}

enum eg_status eg_sup_listeners_open(struct eg_supervisor *s, struct eg_err *err)
{
    const struct eg_policy *policy = s->policy->policy;
    struct eg_listen_spec spec = { 0 };
    unsigned n = eg_policy_listen_count(policy);
    if (s->options.listen_fd >= 0) {
        if (!eg_sock_local(s->options.listen_fd, &spec.at)) {
            close(s->options.listen_fd);
            return eg_err_set(err, EG_IO, "listen", 0, "the listener that was passed is none");
        }
        return add(s, &spec, s->options.listen_fd, err);
    }
    if (s->options.listen) {
        base_of(policy, &spec);
        spec.at = *s->options.listen;
        return add(s, &spec, -1, err);
    }
    if (n == 0) {
        spec.at.addr = (struct eg_addr){ .family = 4, .b = { 127, 0, 0, 1 } };
        return add(s, &spec, -1, err);
    }
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < n && status == EG_OK; i++) {
        eg_policy_listen(policy, i, &spec);
        status = add(s, &spec, -1, err);
    }
    return status;
}

static bool same_listener(const struct eg_listen_spec *a, const struct eg_listen_spec *b)
{
    return eg_addr_eq(&a->at.addr, &b->at.addr) && a->at.port == b->at.port &&
           a->auth == b->auth && eg_slice_eq(a->cert_pem, b->cert_pem) &&
           eg_slice_eq(a->key_pem, b->key_pem);
}

void eg_sup_listeners_compare(const struct eg_supervisor *s, const struct eg_policy *next)
{
    const struct eg_policy *now = s->policy->policy;
    unsigned n = eg_policy_listen_count(now);
    bool same = n == eg_policy_listen_count(next);
    for (unsigned i = 0; same && i < n; i++) {
        struct eg_listen_spec a, b;
        eg_policy_listen(now, i, &a);
        eg_policy_listen(next, i, &b);
        same = same_listener(&a, &b);
    }
    if (!same && !s->options.listen && s->options.listen_fd < 0)
        eg_log(EG_LOG_WARN, "reload: listeners stay as they are until a restart");
    const struct eg_settings *a = eg_policy_settings(now), *b = eg_policy_settings(next);
    if (!eg_slice_eq(a->audit_file, b->audit_file) || a->audit_capacity != b->audit_capacity ||
        a->audit_strict != b->audit_strict || a->audit_destinations != b->audit_destinations)
        eg_log(EG_LOG_WARN, "reload: the audit's settings stay as they are until a restart");
}

void eg_sup_listeners_close(struct eg_supervisor *s, bool forget)
{
    for (unsigned i = 0; i < s->listener_count; i++) {
        struct eg_sup_listener *l = &s->listeners[i];
        if (l->fd >= 0)
            close(l->fd);
        l->fd = -1;
        if (!forget)
            continue;
        if (l->key)
            explicit_bzero(l->key, strlen(l->key));
        free(l->cert);
        free(l->key);
        l->cert = l->key = NULL;
    }
    if (forget)
        s->listener_count = 0;
}

unsigned eg_supervisor_listeners(const struct eg_supervisor *s, struct eg_supervisor_listener *out,
                                 unsigned cap)
{
    for (unsigned i = 0; i < s->listener_count && i < cap; i++)
        out[i] =
            (struct eg_supervisor_listener){ s->listeners[i].at, s->listeners[i].cert != NULL };
    return s->listener_count;
}
