/* listeners.c - opens the listening sockets that workers share: those that were passed at start,
 * one from a child's namespace, the command line's, or the policy's.
 *
 * Invariants: they are opened once; a reload changes none of them; --listen moves a listener but
 * never takes TLS or the token from it; nothing but loopback without required client certificates
 * or --allow-remote; the only socket file that is removed is the one made here. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/state.h"
#include "net/sock.h"

enum { BOTH = EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS, BACKLOG = 1024 };

static const struct eg_listen_spec standard = { .at = { { .family = 4, .b = { 127, 0, 0, 1 } }, 0 },
                                                .protocols = BOTH,
                                                .auth = EG_AUTH_TOKEN };

static char *copy(struct eg_slice text, bool *whole)
{
    char *c = text.n > 0 ? eg_slice_dup(text) : NULL;
    *whole = *whole && (c || text.n == 0);
    return c;
}

/* number: of the policy's listener that brings the sessions; -1: none. */
static enum eg_status fill(struct eg_supervisor *s, struct eg_sup_listener *l,
                           const struct eg_listen_spec *from, int number, struct eg_err *err)
{
    bool whole = true;
    unsigned n = number >= 0 ? from->session_count : 0;
    if (n > EG_LINK_PAIRS)
        return eg_err_set(err, EG_TOO_BIG, "listen", 0, "more than %d sessions at a listener",
                          EG_LINK_PAIRS);
    *l = (struct eg_sup_listener){ .fd = -1,
                                   .at = from->at,
                                   .protocols = from->protocols,
                                   .auth = from->auth,
                                   .unix_path = copy(from->unix_path, &whole),
                                   .cert = copy(from->cert_pem, &whole),
                                   .key = copy(from->key_pem, &whole),
                                   .client_ca = copy(from->client_ca_pem, &whole),
                                   .require_client = from->require_client,
                                   .sessions = calloc(n + 1, sizeof *l->sessions) };
    whole = whole && l->sessions;
    for (unsigned k = 0; whole && k < n; k++) {
        struct eg_slice san, label;
        eg_policy_listen_session(s->policy->policy, (unsigned)number, k, &san, &label);
        l->sessions[k].san = copy(san, &whole);
        l->sessions[k].label = copy(label, &whole);
        l->session_count = k + 1;
    }
    return whole ? EG_OK : EG_NOMEM;
}

/* ---- one listener ---- */

static bool is_loopback(const struct eg_addr *a)
{
    static const struct eg_addr v4 = { .family = 4, .b = { 127 } };
    static const struct eg_addr v6 = { .family = 6, .b = { [15] = 1 } };
    static const struct eg_addr mapped = { .family = 6, .b = { [10] = 0xff, 0xff, 127 } };
    return a->family == 4 ? eg_addr_in(a, &v4, 8)
                          : eg_addr_eq(a, &v6) || eg_addr_in(a, &mapped, 104);
}

static enum eg_status check_remote(const struct eg_supervisor *s, const struct eg_sup_listener *l,
                                   struct eg_err *err)
{
    char text[EG_ADDR_TEXT];
    if (l->unix_path || s->options.allow_remote || is_loopback(&l->at.addr) ||
        (l->cert && l->client_ca && l->require_client))
        return EG_OK;
    return eg_err_set(err, EG_PERMISSION, "listen", 0,
                      "%s is not a loopback address: it needs tls with required client "
                      "certificates, or --allow-remote",
                      eg_addr_format(&l->at.addr, text, sizeof text));
}

/* All of it goes to a worker in one message. */
static enum eg_status check_size(const struct eg_sup_listener *l, struct eg_err *err)
{
    enum { FIXED = 1024 };
    size_t n = FIXED;
    const char *const texts[] = { l->cert, l->key, l->client_ca };
    for (int i = 0; i < 3; i++)
        n += texts[i] ? strlen(texts[i]) : 0;
    for (unsigned i = 0; i < l->session_count; i++)
        n += strlen(l->sessions[i].san) + strlen(l->sessions[i].label) + 2;
    if (n <= EG_LINK_TO_WORKER_MAX)
        return EG_OK;
    return eg_err_set(err, EG_TOO_BIG, "listen", 0,
                      "certificates, key and sessions of a listener are more than %d bytes: name "
                      "only the CA of its clients as client_ca",
                      EG_LINK_TO_WORKER_MAX - FIXED);
}

/* A listening stream socket that somebody passed: where it is. */
static enum eg_status describe(struct eg_sup_listener *l, int fd, struct eg_err *err)
{
    struct sockaddr_un un = { 0 };
    int listening = 0, type = 0, domain = 0;
    socklen_t n = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0)
        return eg_err_set(err, EG_INVALID, "listen", 0,
                          "descriptor %d, which was passed, is not a listening stream socket", fd);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return eg_err_set(err, EG_IO, "listen", errno, "descriptor %d", fd);
    free(l->unix_path);
    l->unix_path = NULL;
    if (domain == AF_UNIX) {
        n = sizeof un;
        if (getsockname(fd, (struct sockaddr *)&un, &n) < 0)
            return eg_err_set(err, EG_IO, "listen", errno, "descriptor %d", fd);
        if (un.sun_path[0] == 0 && n > offsetof(struct sockaddr_un, sun_path))
            un.sun_path[0] = '@'; /* an abstract one, as others show it */
        l->at = (struct eg_sockaddr){ 0 };
        l->unix_path = strndup(un.sun_path, sizeof un.sun_path);
        return l->unix_path ? EG_OK : EG_NOMEM;
    }
    if (!eg_sock_local(fd, &l->at))
        return eg_err_set(err, EG_INVALID, "listen", 0,
                          "descriptor %d, which was passed, is neither TCP nor a Unix socket", fd);
    eg_sock_no_delay(fd);
    return EG_OK;
}

static enum eg_status open_one(struct eg_sup_listener *l, struct eg_err *err)
{
    const struct eg_unix_place at = {
        .path = l->unix_path, .layer = "listen", .backlog = BACKLOG, .own = true
    };
    if (l->unix_path)
        return eg_unix_listen(&at, &l->fd, &l->unix_stat, err);
    struct eg_sockaddr wanted = l->at;
    return eg_sock_listen(&wanted, &l->fd, &l->at, err);
}

/* fd: taken; -1: opened here. */
static enum eg_status add(struct eg_supervisor *s, const struct eg_listen_spec *from, int number,
                          int fd, struct eg_err *err)
{
    if (s->listener_count == EG_SUP_LISTENERS) {
        if (fd >= 0)
            close(fd);
        return eg_err_set(err, EG_TOO_BIG, "listen", 0, "more than %d listeners", EG_SUP_LISTENERS);
    }
    struct eg_sup_listener *l = &s->listeners[s->listener_count++];
    enum eg_status status = fill(s, l, from, number, err);
    l->fd = fd;
    if (status == EG_OK && fd >= 0)
        status = describe(l, fd, err);
    if (from->unix_path.n > 0 && !l->unix_path && l->auth == EG_AUTH_NONE)
        l->auth = EG_AUTH_TOKEN; /* a port was passed in the place of a file: as in base_of */
    if (status == EG_OK)
        status = check_remote(s, l, err);
    if (status == EG_OK)
        status = check_size(l, err);
    return status == EG_OK && fd < 0 ? open_one(l, err) : status;
}

/* ---- all of them ---- */

/* The policy's listener that --listen moves: one with TLS before others, so that the command
 * line never weakens it. Its number, or -1. */
static int base_of(const struct eg_policy *policy, struct eg_listen_spec *spec)
{
    unsigned n = eg_policy_listen_count(policy);
    int number = n > 0 ? 0 : -1;
    *spec = standard;
    if (n > 0)
        eg_policy_listen(policy, 0, spec);
    for (unsigned i = 1; i < n && spec->cert_pem.n == 0; i++) {
        struct eg_listen_spec other;
        eg_policy_listen(policy, i, &other);
        if (other.cert_pem.n > 0) {
            *spec = other;
            number = (int)i;
        }
    }
    if (spec->unix_path.n > 0 && spec->auth == EG_AUTH_NONE)
        spec->auth = EG_AUTH_TOKEN; /* the file's mode kept others out: a port has none */
    spec->unix_path = EG_SLICE_NONE;
    return number;
}

static enum eg_status take_passed(struct eg_supervisor *s, struct eg_err *err)
{
    const struct eg_policy *policy = s->policy->policy;
    unsigned given = s->options.passed_count, n = eg_policy_listen_count(policy);
    if (given != (n > 0 ? n : 1))
        return eg_err_set(err, EG_INVALID, "listen", 0,
                          "%u sockets were passed (LISTEN_FDS) and the policy has %u listener%s",
                          given, n > 0 ? n : 1, n > 1 ? "s" : "");
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < given && status == EG_OK; i++) {
        struct eg_listen_spec spec = standard;
        int fd = s->options.passed[i];
        if (n > 0)
            eg_policy_listen(policy, i, &spec);
        s->options.passed[i] = -1;
        status = add(s, &spec, n > 0 ? (int)i : -1, fd, err);
    }
    return status;
}

static enum eg_ingress_kind ingress_kind(enum eg_entry kind)
{
    static const enum eg_ingress_kind kinds[] = { [EG_ENTRY_PROXY] = EG_INGRESS_PROXY,
                                                  [EG_ENTRY_OPEN] = EG_INGRESS_OPEN,
                                                  [EG_ENTRY_CAPTURE] = EG_INGRESS_CAPTURE,
                                                  [EG_ENTRY_NAMES_UDP] = EG_INGRESS_NAMES_UDP,
                                                  [EG_ENTRY_NAMES_TCP] = EG_INGRESS_NAMES_TCP };
    return kinds[kind];
}

/* Those of `run`'s child, which are all that it reaches. */
static enum eg_status take_entries(struct eg_supervisor *s, struct eg_err *err)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < s->options.entry_count && status == EG_OK; i++) {
        const struct eg_launch_entry entry = s->options.entries[i];
        s->options.entries[i].fd = -1;
        if (entry.kind == EG_ENTRY_NAMES_UDP && s->listener_count < EG_SUP_LISTENERS)
            s->listeners[s->listener_count++] =
                (struct eg_sup_listener){ .fd = entry.fd, .at = entry.at };
        else
            status = add(s, &standard, -1, entry.fd, err);
        if (status == EG_OK)
            s->listeners[s->listener_count - 1].kind = ingress_kind(entry.kind);
    }
    return status;
}

enum eg_status eg_sup_listeners_open(struct eg_supervisor *s, struct eg_err *err)
{
    const struct eg_policy *policy = s->policy->policy;
    struct eg_listen_spec spec = standard;
    unsigned n = eg_policy_listen_count(policy);
    if (s->options.entry_count > 0)
        return take_entries(s, err);
    if (s->options.passed_count > 0)
        return take_passed(s, err);
    if (s->options.listen) {
        int number = base_of(policy, &spec);
        spec.at = *s->options.listen;
        return add(s, &spec, number, -1, err);
    }
    if (n == 0)
        return add(s, &spec, -1, -1, err);
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < n && status == EG_OK; i++) {
        eg_policy_listen(policy, i, &spec);
        status = add(s, &spec, (int)i, -1, err);
    }
    return status;
}

static bool has_label(const struct eg_supervisor *s, const char *label)
{
    for (unsigned i = 0; i < s->session_count; i++)
        if (!s->sessions[i]->revoked && strcmp(s->sessions[i]->label, label) == 0)
            return true;
    return false;
}

enum eg_status eg_sup_listeners_sessions(struct eg_supervisor *s, struct eg_err *err)
{
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < s->listener_count; i++)
        for (unsigned k = 0; k < s->listeners[i].session_count && status == EG_OK; k++) {
            struct eg_session_info ignored;
            const char *label = s->listeners[i].sessions[k].label;
            if (!has_label(s, label))
                status = eg_supervisor_session_create(s, label, 0, &ignored, err);
        }
    return status;
}

/* ---- a reload that would change them ---- */

static bool same_listener(const struct eg_policy *now, const struct eg_policy *next, unsigned i)
{
    struct eg_listen_spec a, b;
    eg_policy_listen(now, i, &a);
    eg_policy_listen(next, i, &b);
    bool same = eg_addr_eq(&a.at.addr, &b.at.addr) && a.at.port == b.at.port &&
                eg_slice_eq(a.unix_path, b.unix_path) && a.protocols == b.protocols &&
                a.auth == b.auth && eg_slice_eq(a.cert_pem, b.cert_pem) &&
                eg_slice_eq(a.key_pem, b.key_pem) &&
                eg_slice_eq(a.client_ca_pem, b.client_ca_pem) &&
                a.require_client == b.require_client && a.session_count == b.session_count;
    for (unsigned k = 0; same && k < a.session_count; k++) {
        struct eg_slice san[2], label[2];
        eg_policy_listen_session(now, i, k, &san[0], &label[0]);
        eg_policy_listen_session(next, i, k, &san[1], &label[1]);
        same = eg_slice_eq(san[0], san[1]) && eg_slice_eq(label[0], label[1]);
    }
    return same;
}

void eg_sup_listeners_compare(const struct eg_supervisor *s, const struct eg_policy *next)
{
    const struct eg_policy *now = s->policy->policy;
    unsigned n = eg_policy_listen_count(now);
    bool same = n == eg_policy_listen_count(next);
    for (unsigned i = 0; same && i < n; i++)
        same = same_listener(now, next, i);
    if (!same && !s->options.listen && s->options.entry_count == 0)
        eg_log(EG_LOG_WARN, "reload: listeners stay as they are until a restart");
    const struct eg_settings *a = eg_policy_settings(now), *b = eg_policy_settings(next);
    if (!eg_slice_eq(a->audit_file, b->audit_file) || a->audit_capacity != b->audit_capacity ||
        a->audit_strict != b->audit_strict || a->audit_destinations != b->audit_destinations)
        eg_log(EG_LOG_WARN, "reload: the audit's settings stay as they are until a restart");
}

/* ---- the end ---- */

static void forget_texts(struct eg_sup_listener *l)
{
    if (l->key)
        explicit_bzero(l->key, strlen(l->key));
    for (unsigned k = 0; k < l->session_count; k++) {
        free(l->sessions[k].san);
        free(l->sessions[k].label);
    }
    free(l->sessions);
    free(l->unix_path);
    free(l->cert);
    free(l->key);
    free(l->client_ca);
    *l = (struct eg_sup_listener){ .fd = -1 };
}

void eg_sup_listeners_close(struct eg_supervisor *s, bool forget)
{
    for (unsigned i = 0; i < s->listener_count; i++) {
        struct eg_sup_listener *l = &s->listeners[i];
        if (l->fd >= 0) {
            if (l->unix_path)
                eg_unix_remove(l->unix_path, &l->unix_stat);
            close(l->fd);
        }
        l->fd = -1;
        if (forget)
            forget_texts(l);
    }
    if (forget)
        s->listener_count = 0;
}

const struct eg_sup_listener *eg_sup_listener_plain(const struct eg_supervisor *s)
{
    for (unsigned i = 0; i < s->listener_count; i++) {
        const struct eg_sup_listener *l = &s->listeners[i];
        if (!l->unix_path && !l->cert && l->kind == EG_INGRESS_PROXY &&
            (l->protocols & EG_PROTOCOL_HTTP))
            return l;
    }
    return NULL;
}

unsigned eg_supervisor_listeners(const struct eg_supervisor *s, struct eg_supervisor_listener *out,
                                 unsigned cap)
{
    for (unsigned i = 0; i < s->listener_count && i < cap; i++) {
        const struct eg_sup_listener *l = &s->listeners[i];
        out[i] =
            (struct eg_supervisor_listener){ l->at, l->unix_path, l->protocols, l->cert != NULL };
    }
    return s->listener_count;
}
