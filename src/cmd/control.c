/* control.c - the requests of the control socket: sessions, audit, environment, status. Each
 * handler is one row of the table at the end.
 *
 * Invariants: no handler blocks; no answer holds a credential; a token leaves only to who asked
 * for that session's (the socket serves our own user and root). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/state.h"
#include "launch/launch.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

enum { STATS_MS = 1000, GAP_MS = 1000, PARENT_MAX = 8 };

static enum eg_status give(json_t *object, json_t **ret)
{
    *ret = object;
    return object ? EG_OK : EG_NOMEM;
}

/* ---- sessions ---- */

static json_t *session_json(const struct eg_sup_session *e, bool token)
{
    char text[32];
    json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:b}", "id", e->id, "label", e->label, "created",
                          eg_clock_rfc3339(e->created_wall_us, text, sizeof text), "phantoms",
                          (int)e->count, "revoked", (int)e->revoked);
    if (o && e->expires_wall_us)
        json_object_set_new(o, "expires",
                            json_string(eg_clock_rfc3339(e->expires_wall_us, text, sizeof text)));
    if (o && token)
        json_object_set_new(o, "token", json_string(e->token));
    return o;
}

static enum eg_status op_create(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                struct eg_err *err)
{
    struct eg_supervisor *s = ctx;
    struct eg_session_info info;
    uint64_t ttl;
    const char *label = eg_ctl_text(request, "label");
    if (!eg_ctl_number(request, "ttl", 0, &ttl) || ttl > 366ull * 86400 ||
        (!label && json_object_get(request, "label")))
        return eg_err_set(err, EG_INVALID, "session", 0, "malformed request");
    enum eg_status status = eg_supervisor_session_create(s, label, ttl, &info, err);
    if (status != EG_OK)
        return status;
    eg_sup_event(s, EG_OK, 0, "session %s created", info.id);
    return give(json_pack("{s:o}", "session", session_json(eg_sup_session_find(s, info.id), true)),
                &answer->reply);
}

static enum eg_status op_revoke(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                struct eg_err *err)
{
    struct eg_supervisor *s = ctx;
    const char *id = eg_ctl_text(request, "id");
    if (!id)
        return eg_err_set(err, EG_INVALID, "session", 0, "malformed request");
    enum eg_status status = eg_supervisor_session_revoke(s, id, err);
    if (status != EG_OK)
        return status;
    eg_sup_event(s, EG_TOKEN_REVOKED, 0, "session %s revoked", eg_sup_session_find(s, id)->id);
    return give(json_pack("{s:b}", "ok", 1), &answer->reply);
}

/* One walk over something: which element comes next. */
struct walk {
    struct eg_supervisor *supervisor;
    uint64_t at;
    bool follow, over;
    uint64_t newest, until_ms; /* of a walk that does not follow: to there, no longer than that */
    uint64_t lost;
    bool held; /* an event was read and waits for its `lost` to be sent */
    struct egress_event event;
};

static enum eg_status begin_walk(struct eg_supervisor *s, struct eg_ctl_answer *answer,
                                 enum eg_status (*step)(void *, json_t **), struct walk **ret)
{
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return EG_NOMEM;
    w->supervisor = s;
    *answer = (struct eg_ctl_answer){ .next = step, .done = free, .stream = w };
    *ret = w;
    return EG_OK;
}

static enum eg_status end_walk(struct walk *w, json_t **ret)
{
    if (w->over)
        return EG_EOF;
    w->over = true;
    return give(json_pack("{s:b}", "done", 1), ret);
}

static enum eg_status next_session(void *stream, json_t **ret)
{
    struct walk *w = stream;
    if (w->at >= w->supervisor->session_count)
        return end_walk(w, ret);
    return give(
        json_pack("{s:o}", "session", session_json(w->supervisor->sessions[w->at++], false)), ret);
}

static enum eg_status op_list(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                              struct eg_err *err)
{
    struct walk *w;
    (void)request;
    (void)err;
    return begin_walk(ctx, answer, next_session, &w);
}

/* ---- audit ---- */

/* The ring holds back what is behind a number that is not there yet. Who asked before it is given up
 * must not miss what was there already. */
static bool held_back(const struct walk *w)
{
    return w->at < w->newest && eg_clock_ms() < w->until_ms;
}

static enum eg_status next_event(void *stream, json_t **ret)
{
    struct walk *w = stream;
    char text[EGRESS_EVENT_JSON_MAX];
    if (!w->held) {
        enum eg_status status = egress_ring_read(w->supervisor->ring, w->at, &w->event, &w->lost);
        if (status != EG_OK)
            return w->follow || held_back(w) ? EG_AGAIN : end_walk(w, ret);
        w->held = true;
        if (w->lost > 0)
            return give(json_pack("{s:I}", "lost", (json_int_t)w->lost), ret);
    }
    w->held = false;
    w->at = w->event.seq;
    size_t n = egress_event_json(&w->event, text, sizeof text);
    json_t *event = json_loadb(text, n, 0, NULL);
    return give(event ? json_pack("{s:o}", "event", event) : NULL, ret);
}

static enum eg_status op_audit(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                               struct eg_err *err)
{
    struct walk *w;
    uint64_t after;
    if (!eg_ctl_number(request, "after", 0, &after))
        return eg_err_set(err, EG_INVALID, "audit", 0, "malformed request");
    enum eg_status status = begin_walk(ctx, answer, next_event, &w);
    if (status != EG_OK)
        return status;
    w->at = after;
    egress_ring_stats(w->supervisor->ring, &w->newest, NULL, NULL);
    w->until_ms = eg_clock_ms() + GAP_MS;
    w->follow = json_is_true(json_object_get(request, "follow"));
    return EG_OK;
}

/* ---- environment ---- */

/* "NAME=value" texts of the request's "parent": what the launcher appends to. NULL-terminated;
 * freed with parent_free. */
static void parent_free(char **list)
{
    for (unsigned i = 0; i < PARENT_MAX; i++)
        free(list[i]);
}

static bool parent_take(const json_t *request, char **list)
{
    const char *key;
    json_t *value;
    unsigned n = 0;
    json_t *parent = json_object_get(request, "parent");
    json_object_foreach(parent, key, value)
    {
        const char *text = eg_ctl_text(parent, key);
        if (!text || strchr(key, '=') || n == PARENT_MAX ||
            asprintf(&list[n], "%s=%s", key, text) < 0)
            return false;
        n++;
    }
    return true;
}

static json_t *variables_json(char *const *all, char *const *parent)
{
    json_t *o = json_object();
    for (; o && *all; all++) {
        bool old = false;
        for (char *const *p = parent; *p; p++)
            old = old || strcmp(*p, *all) == 0;
        const char *equals = strchr(*all, '=');
        char name[256];
        if (old || !equals || (size_t)(equals - *all) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - *all), *all);
        json_object_set_new(o, name, json_string(equals + 1));
    }
    return o;
}

static void add_unset(json_t *list, const json_t *variables, struct eg_slice name)
{
    char text[256];
    if (name.n == 0 || name.n >= sizeof text)
        return;
    snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
    if (!json_object_get(variables, text))
        json_array_append_new(list, json_string(text));
}

/* Variables that hold a real credential, or may, and get no phantom in its place. */
static json_t *unset_json(const struct eg_supervisor *s, const json_t *variables)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < s->creds->count; i++) {
        const struct eg_sup_credential *e = &s->creds->list[i];
        struct eg_slice program = e->argv ? eg_slice_str(e->argv[0]) : EG_SLICE_NONE, key;
        if (!e->login && e->kind == EG_SOURCE_ENV)
            add_unset(list, variables, eg_slice_str(e->place));
        for (unsigned k = 0; (key = eg_child_env_program_key(program, k)).n > 0; k++)
            add_unset(list, variables, key);
    }
    for (unsigned i = 0; list && i < eg_policy_service_count(s->policy->policy); i++) {
        struct eg_service v;
        eg_policy_service(s->policy->policy, i, &v);
        for (unsigned k = 0; v.credential.n > 0 && k < v.env_key_count; k++)
            add_unset(list, variables, v.env_keys[k]);
    }
    return list;
}

static enum eg_status make_env(struct eg_supervisor *s, const struct eg_sup_session *e,
                               char *const *parent, json_t **ret, struct eg_err *err)
{
    const char *services[EG_SESSION_PHANTOMS], *texts[EG_SESSION_PHANTOMS];
    char **all = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < e->count; i++) {
        if (!eg_sup_phantom_usable(s, e->phantoms[i].service))
            continue;
        services[count] = e->phantoms[i].service;
        texts[count++] = e->phantoms[i].phantom;
    }
    const struct eg_sup_listener *l = eg_sup_listener_plain(s);
    if (!l)
        return eg_err_set(err, EG_NOT_FOUND, "session", 0,
                          "no listener takes http on a port without tls");
    struct eg_child_env_spec spec = { .parent = parent,
                                      .policy = s->policy->policy,
                                      .listener = &l->at,
                                      .session = e->label,
                                      .token = e->token,
                                      .policy_path = s->options.policies[0].path,
                                      .phantom_count = count,
                                      .phantom_services = services,
                                      .phantom_texts = texts };
    enum eg_status status = eg_child_env_make(&spec, &all, err);
    if (status != EG_OK)
        return status;
    json_t *variables = variables_json(all, parent);
    eg_child_env_free(all);
    return give(json_pack("{s:o,s:o}", "unset", unset_json(s, variables), "variables", variables),
                ret);
}

static enum eg_status op_env(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                             struct eg_err *err)
{
    struct eg_supervisor *s = ctx;
    const char *id = eg_ctl_text(request, "id");
    const struct eg_sup_session *e = id ? eg_sup_session_find(s, id) : NULL;
    char *parent[PARENT_MAX + 1] = { 0 };
    if (!e || e->revoked || (e->expires_wall_us && e->expires_wall_us <= eg_clock_wall_us()))
        return eg_err_set(err, EG_NOT_FOUND, "session", 0, "no session has this id: egressctl session list");
    enum eg_status status = EG_INVALID;
    if (parent_take(request, parent))
        status = make_env(s, e, parent, &answer->reply, err);
    parent_free(parent);
    return status;
}

/* ---- status ---- */

static json_t *worker_json(const struct eg_sup_worker *w)
{
    static const char *const states[] = { "down", "starting", "ready" };
    json_t *o = json_pack("{s:i,s:i,s:s,s:i}", "number", (int)w->number, "pid", (int)w->pid,
                          "state", states[w->state], "restarts", (int)w->restarts);
    const struct eg_engine_stats *t = &w->stats;
    if (o && w->stats_known)
        json_object_set_new(
            o, "stats",
            json_pack("{s:I,s:I,s:I,s:I,s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:I}", "connections",
                      (json_int_t)t->connections, "tunnels", (json_int_t)t->tunnels, "exchanges",
                      (json_int_t)t->exchanges, "refused", (json_int_t)t->refused, "open_flows",
                      (int)t->open_flows, "open_tunnels", (int)t->open_tunnels, "pooled",
                      (int)t->pooled, "sessions", (int)t->sessions, "bytes_up",
                      (json_int_t)t->bytes_up, "bytes_down", (json_int_t)t->bytes_down, "tls_full",
                      (json_int_t)t->tls_full, "tls_resumed", (json_int_t)t->tls_resumed));
    return o;
}

static json_t *lists_json(const struct eg_supervisor *s, json_t *o)
{
    json_t *credentials = json_array(), *workers = json_array();
    for (unsigned i = 0; i < s->creds->count; i++)
        json_array_append_new(credentials, eg_sup_cred_json(&s->creds->list[i], true));
    for (unsigned i = 0; i < s->worker_count; i++)
        json_array_append_new(workers, worker_json(&s->workers[i]));
    json_object_set_new(o, "listeners", eg_supervisor_listeners_json(s));
    json_object_set_new(o, "upstream", eg_sup_upstream_json(s));
    if (s->options.enforcement)
        json_object_set_new(o, "enforcement",
                            json_pack("{s:s,s:s}", "mode", s->options.enforcement, "weaker_because",
                                      s->options.weaker ? s->options.weaker : ""));
    json_object_set_new(o, "credentials", credentials);
    json_object_set_new(o, "workers", workers);
    return o;
}

static json_t *status_json(const struct eg_supervisor *s)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *id = eg_policy_id(s->policy->policy);
    struct eg_slice name = eg_policy_name(s->policy->policy);
    char hex[17];
    uint64_t newest = 0, overwritten = 0;
    uint32_t capacity = 0;
    unsigned live = 0;
    for (int i = 0; i < 8; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[16] = 0;
    for (unsigned i = 0; i < s->session_count; i++)
        live += !s->sessions[i]->revoked;
    egress_ring_stats(s->ring, &newest, &capacity, &overwritten);
    json_t *o = json_pack(
        "{s:s,s:i,s:I,s:i,s:{s:s,s:s%,s:s,s:s,s:i},s:{s:I,s:i,s:I}}", "version", EG_VERSION, "pid",
        (int)getpid(), "uptime", (json_int_t)((eg_clock_ms() - s->started_ms) / 1000), "sessions",
        (int)live, "policy", "file", s->options.policies[0].path, "name", name.n ? name.p : "",
        name.n, "mode", eg_policy_settings(s->policy->policy)->observe ? "observe" : "enforce",
        "id", hex, "generation", (int)s->policy->generation, "audit", "newest",
        (json_int_t)newest, "capacity", (int)capacity, "overwritten", (json_int_t)overwritten);
    return o ? lists_json(s, o) : NULL;
}

static enum eg_status next_status(void *stream, json_t **ret)
{
    struct walk *w = stream;
    const struct eg_supervisor *s = w->supervisor;
    if (w->over)
        return EG_EOF;
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].stats_asked && s->workers[i].pid > 0 && eg_clock_ms() < w->at)
            return EG_AGAIN; /* the server asks again */
    w->over = true;
    return give(json_pack("{s:o}", "status", status_json(s)), ret);
}

static enum eg_status op_status(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                struct eg_err *err)
{
    struct eg_supervisor *s = ctx;
    struct walk *w;
    struct eg_link_message m = { .kind = EG_LINK_STATS_ASK };
    (void)request;
    (void)err;
    enum eg_status status = begin_walk(s, answer, next_status, &w);
    if (status != EG_OK)
        return status;
    w->at = eg_clock_ms() + STATS_MS;
    for (unsigned i = 0; i < s->worker_count; i++)
        if (s->workers[i].state == EG_SUP_WORKER_READY && !s->workers[i].stats_asked) {
            s->workers[i].stats_asked = true;
            eg_sup_worker_send(&s->workers[i], &m, NULL, 0);
        }
    return EG_OK;
}

const struct eg_ctl_handler eg_sup_handlers[] = {
    { "session.create", op_create },
    { "session.list", op_list },
    { "session.revoke", op_revoke },
    { "audit", op_audit },
    { "env", op_env },
    { "status", op_status },
    { "creds.list", eg_sup_op_creds_list },
    { "creds.test", eg_sup_op_creds_test },
    { NULL, NULL },
};
