/* gate.c - the security argument in one file.
 *
 * 1. Nothing is dialled but what eg_gate_addresses put into `out`: it judges the canonical name
 * first (before any DNS question), then every resolved address, and one bad one refuses. 2.
 * Nothing flows before the allow is in the audit: record() is called first, and where a strict
 * audit file does not take the event, the exchange is refused. 3. A credential is lent only for
 * a ticket whose allow is recorded, only for the service that was judged, and only to a host
 * that the credential is bound to. 4. Our own listeners are never a destination, whatever the
 * policy says: a proxy that reaches itself can be used to get round its own session check. 5.
 * Under scheme https the tunnel carries a TLS ClientHello for the very name that was judged, or
 * nothing. 6. Under mode: observe what no rule allows passes as an allow that is recorded with
 * its reason; 2, 3 and 4 hold, and no server name in a tunnel is one that a deny rule names. The
 * functions here decide and record; they read no socket and know no flow. */
#include "proxy/gate.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/hosts.h"

static void set_text(struct eg_ticket *t, char *member, size_t size, struct eg_slice text)
{
    eg_event_text(&t->event, member, size, text);
}
#define SET(t, member, text) set_text((t), (t)->event.member, sizeof(t)->event.member, (text))

void eg_gate_begin(struct eg_gate *g, struct eg_ticket *t, const struct eg_snapshot *snapshot,
                   const struct eg_session *session, enum egress_event_via via)
{
    memset(t, 0, sizeof *t);
    t->snapshot = snapshot;
    t->started_ns = eg_clock_ns();
    t->event.observe = snapshot && eg_policy_settings(snapshot->policy)->observe;
    t->event.id = egress_ring_next_id(g->trail.ring);
    t->event.via = (uint8_t)via;
    eg_gate_session(t, session);
}

void eg_gate_session(struct eg_ticket *t, const struct eg_session *session)
{
    if (session)
        SET(t, session, eg_slice_str(session->label[0] ? session->label : session->id));
}

/* Writes the decision event; the sequence number of the last one names the refusal to the
 * client. An allow that only observing gives carries what it would have been. */
static enum eg_status record(struct eg_gate *g, struct eg_ticket *t, enum eg_status reason,
                             enum egress_event_stage stage)
{
    bool would = reason == EG_OK && t->verdict.would_deny != EG_OK;
    t->event.kind = EGRESS_EVENT_DECISION;
    t->event.stage = (uint8_t)stage;
    t->event.reason = (uint16_t)(would ? t->verdict.would_deny : reason);
    t->event.allowed = reason == EG_OK;
    t->event.wall_us = 0;
    SET(t, rule, t->verdict.rule);
    if (would)
        SET(t, detail, t->verdict.detail);
    enum eg_status status = eg_trail_write(&g->trail, &t->event);
    t->decision_seq = t->event.seq;
    if (would)
        SET(t, detail, EG_SLICE_NONE);
    if (reason != EG_OK)
        return reason;
    if (status == EG_OK)
        t->open = true;
    return status;
}

static void set_destination(struct eg_ticket *t, const struct eg_authority *to)
{
    t->to = *to;
    t->event.port = to->port;
    SET(t, host, eg_authority_host(to));
}

/* The verdict by name: a deny is recorded at once, an allow waits for the addresses. */
static enum eg_status by_name(struct eg_gate *g, struct eg_ticket *t)
{
    if (t->verdict.status == EG_OK)
        return EG_OK;
    SET(t, detail, t->verdict.detail);
    return record(g, t, t->verdict.status, EGRESS_STAGE_REQUEST);
}

enum eg_status eg_gate_tunnel(struct eg_gate *g, struct eg_ticket *t, const struct eg_authority *to)
{
    set_destination(t, to);
    SET(t, method, EG_SLICE("CONNECT"));
    eg_policy_judge_tunnel(t->snapshot->policy, to, &t->verdict);
    return by_name(g, t);
}

enum eg_status eg_gate_http(struct eg_gate *g, struct eg_ticket *t, const struct eg_authority *to,
                            struct eg_slice method, struct eg_slice path,
                            struct eg_path_flags flags)
{
    set_destination(t, to);
    SET(t, method, method);
    SET(t, path, path);
    eg_policy_judge_http(t->snapshot->policy, to, method, path, flags, &t->verdict);
    return by_name(g, t);
}

enum eg_status eg_gate_ready(const struct eg_gate *g, const struct eg_service *service)
{
    enum eg_status state = EG_OK;
    for (unsigned i = 0; i < service->write_count && state != EG_CREDENTIAL_UNAVAILABLE; i++) {
        const struct eg_write *w = &service->write[i];
        struct eg_slice text =
            w->kind == EG_WRITE_SIGV4 ? EG_SLICE("{access_key}{secret_key}") : w->text;
        enum eg_status one =
            w->credential ? eg_inject_ready(text, g->creds, service->credential, NULL) : EG_OK;
        state = one == EG_OK ? state : one;
    }
    return state;
}

enum eg_status eg_gate_route(struct eg_gate *g, struct eg_ticket *t, unsigned index,
                             const struct eg_service *service, struct eg_slice method,
                             struct eg_slice path, struct eg_path_flags flags)
{
    set_destination(t, &service->upstream);
    SET(t, method, method);
    SET(t, path, path);
    SET(t, service, service->name);
    SET(t, credential, service->credential);
    eg_policy_judge_route(t->snapshot->policy, index, method, path, flags, &t->verdict);
    if (t->verdict.status == EG_OK && eg_gate_ready(g, service) == EG_CREDENTIAL_UNAVAILABLE) {
        t->verdict.status = EG_CREDENTIAL_UNAVAILABLE;
        t->verdict.detail = EG_SLICE("its source failed: the proxy's own log says why");
    }
    return by_name(g, t);
}

static const struct eg_addr all_v4 = { .family = 4 }, all_v6 = { .family = 6 },
                            loop_v4 = { .family = 4, .b = { 127, 0, 0, 1 } },
                            loop_v6 = { .family = 6, .b = { [15] = 1 } };

/* Who is reached there in truth: ::ffff:a.b.c.d is the IPv4 address, and to connect to nobody's
 * address is to connect to this machine. */
static struct eg_addr reached_at(const struct eg_addr *addr)
{
    static const struct eg_addr mapped = { .family = 6, .b = { [10] = 0xff, [11] = 0xff } };
    struct eg_addr a = *addr;
    if (eg_addr_in(addr, &mapped, 96)) {
        a = (struct eg_addr){ .family = 4 };
        memcpy(a.b, addr->b + 12, 4);
    }
    return eg_addr_eq(&a, &all_v4) ? loop_v4 : eg_addr_eq(&a, &all_v6) ? loop_v6 : a;
}

/* A listener on all addresses is at each of the loopback too, that on :: often at IPv4's as well;
 * the machine's other ones are the policy's to know. */
static bool is_own_listener(const struct eg_gate *g, const struct eg_addr *addr, uint16_t port)
{
    const struct eg_addr to = reached_at(addr);
    bool on_v4 = eg_addr_in(&to, &loop_v4, 8), loopback = on_v4 || eg_addr_eq(&to, &loop_v6);
    for (unsigned i = 0; i < g->own_count; i++) {
        const struct eg_addr *own = &g->own[i].addr;
        bool all = eg_addr_eq(own, &all_v6) || (on_v4 && eg_addr_eq(own, &all_v4));
        if (g->own[i].port == port && (eg_addr_eq(own, &to) || (all && loopback)))
            return true;
    }
    return false;
}

static enum eg_status refuse_own(struct eg_ticket *t)
{
    t->verdict.status = EG_ADDRESS_DENIED;
    t->verdict.detail = EG_SLICE("this is the proxy itself: set NO_PROXY=127.0.0.1,localhost,::1");
    return EG_ADDRESS_DENIED;
}

/* One address by the policy and by point 4; the ticket's verdict becomes the refusal where it is
 * one. */
static enum eg_status judge_address(const struct eg_gate *g, struct eg_ticket *t,
                                    const struct eg_addr *addr)
{
    struct eg_verdict verdict;
    if (is_own_listener(g, addr, t->to.port))
        return refuse_own(t);
    eg_policy_judge_address(t->snapshot->policy, &t->verdict, addr, t->to.port, &verdict);
    if (verdict.status == EG_OK)
        return EG_OK;
    t->verdict.status = verdict.status;
    t->verdict.detail = verdict.detail;
    if (verdict.rule.n > 0)
        t->verdict.rule = verdict.rule;
    return verdict.status;
}

static void set_address(struct eg_ticket *t, const struct eg_addr *addr)
{
    char text[EG_ADDR_TEXT];
    SET(t, address, eg_slice_str(eg_addr_format(addr, text, sizeof text)));
}

enum eg_status eg_gate_addresses(struct eg_gate *g, struct eg_ticket *t,
                                 const struct eg_addr *addrs, unsigned count,
                                 struct eg_sockaddr *out, unsigned *out_count)
{
    for (unsigned i = 0; i < count; i++) {
        if (judge_address(g, t, &addrs[i]) == EG_OK)
            continue;
        set_address(t, &addrs[i]);
        SET(t, detail, t->verdict.detail);
        return record(g, t, t->verdict.status, EGRESS_STAGE_ADDRESS);
    }
    if (count == 0)
        return EG_INTERNAL;
    set_address(t, &addrs[0]);
    enum eg_status status = record(g, t, EG_OK, EGRESS_STAGE_REQUEST);
    if (status != EG_OK)
        return status;
    for (unsigned i = 0; i < count; i++)
        out[i] = (struct eg_sockaddr){ addrs[i], t->to.port };
    *out_count = count;
    return EG_OK;
}

enum eg_status eg_gate_pooled(struct eg_gate *g, struct eg_ticket *t,
                              const struct eg_sockaddr *peer)
{
    struct eg_sockaddr out;
    unsigned count;
    return eg_gate_addresses(g, t, &peer->addr, 1, &out, &count);
}

/* An upstream may stand on this very machine, where localhost is us (point 4). */
static bool is_own_name(const struct eg_gate *g, const struct eg_authority *to)
{
    return eg_hosts_localhost(eg_authority_host(to)) &&
           (is_own_listener(g, &loop_v4, to->port) || is_own_listener(g, &loop_v6, to->port));
}

enum eg_status eg_gate_remote(struct eg_gate *g, struct eg_ticket *t)
{
    if (t->to.literal)
        return EG_INTERNAL;
    if (is_own_name(g, &t->to)) {
        (void)refuse_own(t);
        SET(t, detail, t->verdict.detail);
        return record(g, t, EG_ADDRESS_DENIED, EGRESS_STAGE_ADDRESS);
    }
    return record(g, t, EG_OK, EGRESS_STAGE_REQUEST);
}

enum eg_status eg_gate_inner(struct eg_gate *g, struct eg_ticket *t)
{
    return t->verdict.scheme == EG_SCHEME_HTTP ? record(g, t, EG_OK, EGRESS_STAGE_REQUEST)
                                               : EG_INTERNAL;
}

/* Point 6: another server name, or no TLS at all, where it is not a name that is denied. */
static bool is_observed(const struct eg_ticket *t, const struct eg_hello *hello)
{
    const struct eg_policy *policy = t->snapshot->policy;
    struct eg_verdict inside;
    if (!eg_policy_settings(policy)->observe || (hello->has_sni && !hello->sni_valid))
        return false;
    if (!hello->has_sni)
        return true;
    struct eg_authority to = hello->sni;
    to.port = t->to.port;
    eg_policy_judge_tunnel(policy, &to, &inside);
    return inside.status == EG_OK;
}

enum eg_status eg_gate_hello(struct eg_gate *g, struct eg_ticket *t, const struct eg_hello *hello)
{
    enum eg_status status = EG_OK;
    if (hello->kind != EG_HELLO_TLS)
        status = EG_NOT_TLS;
    else if (hello->has_sni)
        status = hello->sni_valid &&
                         eg_slice_eq(eg_authority_host(&hello->sni), eg_authority_host(&t->to))
                     ? EG_OK
                     : EG_SNI_MISMATCH;
    else if (!t->verdict.sni_optional)
        status = EG_SNI_MISMATCH;
    if (status == EG_OK)
        return EG_OK;
    struct eg_slice name = hello->sni_valid ? eg_authority_host(&hello->sni) : EG_SLICE_NONE;
    if (is_observed(t, hello)) {
        t->verdict.would_deny = status;
        t->verdict.detail = name;
        return record(g, t, EG_OK, EGRESS_STAGE_HELLO);
    }
    if (name.n > 0)
        SET(t, detail, name);
    return record(g, t, status, EGRESS_STAGE_HELLO);
}

/* Point 3. */
static bool may_have(const struct eg_ticket *t, const struct eg_service *service)
{
    return t->open && eg_slice_eq(eg_slice_str(t->event.service), service->name) &&
           eg_authority_eq(&t->to, &service->upstream) &&
           eg_policy_credential_host(t->snapshot->policy, service->credential,
                                     eg_authority_host(&t->to));
}

static enum eg_status out_of_order(struct eg_err *err)
{
    return eg_err_set(err, EG_INTERNAL, "gate", 0, "a credential was asked for out of order");
}

enum eg_status eg_gate_inject(struct eg_gate *g, const struct eg_ticket *t,
                              const struct eg_service *service, struct eg_slice text,
                              enum eg_escape escape, struct eg_buf *out, struct eg_err *err)
{
    if (!may_have(t, service))
        return out_of_order(err);
    enum eg_status status =
        eg_inject_template(out, text, g->creds, service->credential, escape, err);
    return status == EG_INVALID ? EG_CREDENTIAL_UNAVAILABLE : status;
}

enum eg_status eg_gate_proxy_credential(struct eg_gate *g, const struct eg_ticket *t,
                                        struct eg_slice credential, struct eg_slice host,
                                        const struct eg_secret **ret, struct eg_err *err)
{
    if (!t->open || !eg_policy_credential_host(t->snapshot->policy, credential, host))
        return out_of_order(err);
    const struct eg_secret *secret = eg_creds_get(g->creds, credential, err);
    if (!secret)
        return EG_CREDENTIAL_UNAVAILABLE;
    *ret = secret;
    return EG_OK;
}

void eg_gate_unjudged(struct eg_ticket *t, const struct eg_authority *to,
                      const struct eg_service *service, struct eg_slice method)
{
    set_destination(t, to);
    SET(t, method, method);
    if (service)
        SET(t, service, service->name);
}

void eg_gate_canary(struct eg_ticket *t, const struct eg_authority *to,
                    const struct eg_service *service, struct eg_slice method,
                    const struct eg_session *session, int index)
{
    eg_gate_unjudged(t, to, service, method);
    snprintf(t->canary_session, sizeof t->canary_session, "%s",
             session->label[0] ? session->label : session->id);
    snprintf(t->canary_service, sizeof t->canary_service, "%s",
             index < 0 ? "" : session->phantoms[index].service);
}

/* A second event tells whose it was; where it was to go, both tell. */
static void record_canary(struct eg_gate *g, struct eg_ticket *t)
{
    struct egress_event decision = t->event;
    t->event.kind = EGRESS_EVENT_CANARY;
    t->event.wall_us = 0;
    SET(t, session, eg_slice_str(t->canary_session));
    SET(t, service, eg_slice_str(t->canary_service));
    SET(t, detail, t->canary_service[0] ? EG_SLICE("a phantom") : EG_SLICE("a session token"));
    enum eg_status ignored = eg_trail_write(&g->trail, &t->event); /* it is refused already */
    (void)ignored;
    t->event = decision;
}

void eg_gate_refused(struct eg_gate *g, struct eg_ticket *t, enum eg_status reason,
                     const char *detail)
{
    /* what observing let through and then failed elsewhere: what the rules lack is still told */
    if (!t->open && t->verdict.status == EG_OK && t->verdict.would_deny != EG_OK &&
        reason != EG_AUDIT_UNWRITABLE)
        (void)record(g, t, EG_OK, EGRESS_STAGE_REQUEST);
    SET(t, detail, eg_slice_str(detail));
    if (!t->open && reason != EG_AUDIT_UNWRITABLE) /* else the end event tells, or the trail itself */
        (void)record(g, t, reason, EGRESS_STAGE_REQUEST);
    if (reason == EG_CANARY)
        record_canary(g, t);
}

void eg_gate_end(struct eg_gate *g, struct eg_ticket *t, enum eg_status reason,
                 uint16_t http_status, uint64_t bytes_up, uint64_t bytes_down)
{
    if (!t->open)
        return;
    t->open = false;
    t->event.kind = EGRESS_EVENT_END;
    t->event.reason = (uint16_t)reason;
    t->event.http_status = http_status;
    t->event.bytes_up = bytes_up;
    t->event.bytes_down = bytes_down;
    t->event.duration_us = (eg_clock_ns() - t->started_ns) / 1000;
    t->event.wall_us = 0;
    enum eg_status ignored = eg_trail_write(
        &g->trail, &t->event); /* what flowed can't be taken back; the trail counts it */
    (void)ignored;
}

bool eg_gate_still_allowed(const struct eg_gate *g, const struct eg_ticket *t,
                           const struct eg_snapshot *snapshot, const struct eg_sockaddr *peer,
                           struct eg_slice path, struct eg_path_flags flags)
{
    struct eg_ticket now = *t;
    struct eg_slice method = eg_slice_str(t->event.method);
    now.snapshot = snapshot;
    if (t->event.via == EGRESS_VIA_ROUTE) {
        for (unsigned i = 0; i < eg_policy_service_count(snapshot->policy); i++) {
            struct eg_service service;
            eg_policy_service(snapshot->policy, i, &service);
            if (eg_slice_eq(service.name, eg_slice_str(t->event.service)) &&
                eg_authority_eq(&service.upstream, &t->to)) {
                eg_policy_judge_route(snapshot->policy, i, method, path, flags, &now.verdict);
                return now.verdict.status == EG_OK &&
                       (!peer || judge_address(g, &now, &peer->addr) == EG_OK);
            }
        }
        return false;
    }
    if (t->event.via == EGRESS_VIA_FORWARD)
        eg_policy_judge_http(snapshot->policy, &t->to, method, path, flags, &now.verdict);
    else
        eg_policy_judge_tunnel(snapshot->policy, &t->to, &now.verdict);
    return now.verdict.status == EG_OK && now.verdict.scheme == t->verdict.scheme &&
           (!peer || judge_address(g, &now, &peer->addr) == EG_OK);
}
