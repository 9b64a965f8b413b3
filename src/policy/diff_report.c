/* diff_report.c - what was found on one subject, as texts for people. Of two findings that say the same the plainer one is told. */
#include "policy/diff_state.h"

#include <stdio.h>

/* ---- what is handed out ---- */

static void say_verdict(const struct eg_finding *f, unsigned side, char *out, size_t cap)
{
    static const char *const flows[] = { "", ", https", ", http", ", tcp" };
    const struct eg_verdict *v = &f->verdict[side];
    const char *sni = v->scheme == EG_SCHEME_HTTPS && v->sni_optional ? " with any name" : "";
    bool tunnel = f->kind == EG_CHANGE_TUNNEL;
    char body[48] = "";
    if (f->kind == EG_CHANGE_REQUEST && v->max_request_body > 0)
        snprintf(body, sizeof body, ", body of at most %llu bytes",
                 (unsigned long long)v->max_request_body);
    if (!f->asked[side])
        snprintf(out, cap, "no such route");
    else if (v->status != EG_OK)
        snprintf(out, cap, "refused (%s)", egress_status_name(v->status));
    else if (v->would_deny != EG_OK)
        snprintf(out, cap, "passes, since the mode is observe (%s)",
                 egress_status_name(v->would_deny));
    else
        snprintf(out, cap, "allowed%s%s%s", tunnel ? flows[v->scheme] : "", tunnel ? sni : "",
                 body);
}

static void say_example(const struct eg_diff *d, const struct eg_finding *f, char *out, size_t cap)
{
    char to[EG_AUTHORITY_TEXT], addr[EG_ADDR_TEXT];
    const struct eg_ask *ask = &f->ask[f->asked[0] ? 0 : 1];
    int method = (int)ask->method.n, path = (int)ask->path.n;
    if (f->kind == EG_CHANGE_TUNNEL) {
        snprintf(out, cap, "CONNECT %s", eg_authority_format(&ask->to, 0, to, sizeof to));
    } else if (f->kind == EG_CHANGE_REQUEST) {
        snprintf(out, cap, "%.*s http://%s%.*s", method, ask->method.p,
                 eg_authority_format(&ask->to, 80, to, sizeof to), path, ask->path.p);
    } else if (f->kind == EG_CHANGE_ROUTE) {
        struct eg_service s;
        eg_policy_service(d->p[f->asked[0] ? 0 : 1], ask->service, &s);
        snprintf(out, cap, "%.*s /%.*s%.*s", method, ask->method.p, (int)s.route.n, s.route.p, path,
                 ask->path.p);
    } else if (f->kind == EG_CHANGE_ADDRESS) {
        snprintf(out, cap, "a name that leads to %s, port %u",
                 eg_addr_format(ask->addr, addr, sizeof addr), (unsigned)ask->to.port);
    }
}

/* "80, 443", "every port". */
static const char *say_ports(const struct eg_diff *d, struct eg_finding *f, char *out, size_t cap)
{
    if (f->kind == EG_CHANGE_ROUTE || (f->named_ports == 0 && !f->other_ports))
        return "";
    if (f->other_ports && f->named_ports == d->ports.named)
        return "every port";
    snprintf(out, cap, "%s%s%s", f->ports, f->named_ports && f->other_ports ? ", " : "",
             f->other_ports ? (d->ports.named ? "any other port" : "every port") : "");
    return out;
}

static void hand_out(struct eg_diff *d, const char *subject, struct eg_finding *f)
{
    enum { EXAMPLE = 6000 };
    char before[160], after[160], ports[EG_DIFF_PORTS_TEXT + 32], example[EXAMPLE] = "";
    say_verdict(f, 0, before, sizeof before);
    say_verdict(f, 1, after, sizeof after);
    say_example(d, f, example, sizeof example);
    const struct eg_change c = { .label = f->label,
                                 .kind = f->kind,
                                 .subject = subject,
                                 .ports = say_ports(d, f, ports, sizeof ports),
                                 .example = example,
                                 .before = before,
                                 .after = after,
                                 .rule = { f->verdict[0].rule, f->verdict[1].rule },
                                 .asked = f->asked[0] && f->asked[1],
                                 .ask = { f->ask[0], f->ask[1] },
                                 .verdict = { f->verdict[0], f->verdict[1] } };
    d->take(d->ctx, &c);
}

static bool same_ports(const struct eg_finding *f, const struct eg_finding *g)
{
    return f->other_ports == g->other_ports && strcmp(f->ports, g->ports) == 0;
}

/* Of a tunnel for anything, requests on the same ports say less than it does. */
static bool says_less(const struct eg_diff *d, const struct eg_finding *f)
{
    unsigned open = f->label == EG_CHANGE_WIDENS ? 1 : 0;
    for (unsigned i = 0; f->kind == EG_CHANGE_REQUEST && i < d->finding_count; i++) {
        const struct eg_finding *g = &d->findings[i];
        if (g->kind == EG_CHANGE_TUNNEL && g->label == f->label &&
            g->verdict[open].scheme == EG_SCHEME_TCP && same_ports(f, g) &&
            eg_slice_eq(g->verdict[open].rule, f->verdict[open].rule))
            return true;
    }
    return false;
}

/* With a tunnel in which requests are judged it is the other way round. */
static bool is_said(const struct eg_diff *d, const struct eg_finding *f)
{
    unsigned open = f->label == EG_CHANGE_WIDENS ? 1 : 0;
    if (f->kind != EG_CHANGE_TUNNEL)
        return says_less(d, f);
    for (unsigned i = 0; f->verdict[open].scheme == EG_SCHEME_HTTP && i < d->finding_count; i++) {
        const struct eg_finding *g = &d->findings[i];
        if (g->kind == EG_CHANGE_REQUEST && g->label == f->label && !says_less(d, g))
            return true;
    }
    return false;
}

void eg_diff_report(struct eg_diff *d, const char *subject, enum eg_change_kind kind)
{
    for (unsigned i = 0; i < d->finding_count && d->status == EG_OK; i++)
        if (!is_said(d, &d->findings[i]))
            hand_out(d, subject, &d->findings[i]);
    const struct eg_change more = { .label = EG_CHANGE_WIDENS,
                                    .may = true,
                                    .kind = kind,
                                    .subject = subject,
                                    .ports = "",
                                    .example = "",
                                    .before = "",
                                    .after = "too much to look at all of it" };
    if (d->may)
        d->take(d->ctx, &more);
    d->finding_count = d->searched_count = 0;
    d->may = false;
    eg_arena_reset(&d->scratch);
}

void eg_diff_setting(struct eg_diff *d, enum eg_change_label label, const char *subject,
                     const char *before, const char *after, struct eg_slice rule_before,
                     struct eg_slice rule_after)
{
    const struct eg_change c = { .label = label,
                                 .kind = EG_CHANGE_SETTING,
                                 .subject = subject,
                                 .ports = "",
                                 .example = "",
                                 .before = before,
                                 .after = after,
                                 .rule = { rule_before, rule_after } };
    d->take(d->ctx, &c);
}
