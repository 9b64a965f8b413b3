/* decide_requests.c - rules on requests: of hosts, for plain HTTP and for routes to them. A tunnel that would hide a request from them is refused. */
#include "policy/decide.h"

/* Calls back for every rule of that action that is on some requests, on this port. True: the callback wants no more. */
bool eg_decide_each_ruled(const struct eg_question *q, const struct eg_decide_hits *h,
                          enum eg_action action, eg_decide_take *take, struct eg_verdict *v)
{
    for (unsigned i = 0; i < h->count; i++)
        for (uint32_t k = 0; k < h->list[i]->rules.count; k++) {
            const struct eg_block_rule *r = &q->p->rules[h->list[i]->rules.first + k];
            if (r->action == (uint8_t)action && r->paths.count > 0 &&
                eg_decide_has_port(q->p, r, q->port) && take(q, r, v))
                return true;
        }
    return false;
}

bool eg_decide_take_any(const struct eg_question *q, const struct eg_block_rule *r,
                        struct eg_verdict *v)
{
    (void)q;
    (void)r;
    (void)v;
    return true;
}

/* Nobody can say which rule an odd path falls under. */
bool eg_decide_refuse_unsafe(const struct eg_question *q, struct eg_slice rule,
                             struct eg_verdict *v)
{
    if (!q->flags.unsafe)
        return false;
    eg_decide_refuse(v, EG_RULE_DENIED, rule,
                     q->flags.why ? eg_slice_str(q->flags.why) : EG_SLICE("the path is ambiguous"));
    return true;
}

void eg_decide_refuse_path(const struct eg_question *q, const struct eg_block_path *path,
                           struct eg_verdict *v)
{
    eg_decide_refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, path->rule),
                     eg_block_slice(q->p, path->detail));
}

/* A deny rule on some requests: is this one of them? */
bool eg_decide_take_deny(const struct eg_question *q, const struct eg_block_rule *r,
                         struct eg_verdict *v)
{
    if (eg_decide_refuse_unsafe(q, eg_block_slice(q->p, r->rule), v))
        return true;
    const struct eg_block_path *path = eg_block_path_find(q->p, r->paths, q->request, true);
    if (path)
        eg_decide_refuse_path(q, path, v);
    return path != NULL;
}

/* A tunnel would carry the requests that the rule denies. */
bool eg_decide_take_opaque(const struct eg_question *q, const struct eg_block_rule *r,
                           struct eg_verdict *v)
{
    eg_decide_refuse(
        v, EG_RULE_DENIED, eg_block_slice(q->p, r->rule),
        EG_SLICE("a deny rule on some requests to it, which can't be seen in a tunnel"));
    return true;
}

/* The target whose rules have the word, which `first` is among. */
static struct eg_block_range rules_beside(const struct eg_question *q,
                                          const struct eg_decide_hits *h,
                                          const struct eg_block_rule *first)
{
    uint32_t index = (uint32_t)(first - q->p->rules);
    for (unsigned i = 0; i < h->count; i++) {
        struct eg_block_range range = h->list[i]->rules;
        if (index >= range.first && index - range.first < range.count)
            return range;
    }
    return (struct eg_block_range){ index, 1 };
}

/* The request against all rules on the pattern that decides; those without paths stand first and let it through. */
void eg_decide_judge_paths(const struct eg_question *q, const struct eg_decide_hits *h,
                           const struct eg_block_rule *first, bool opened, struct eg_verdict *v)
{
    struct eg_block_range range = rules_beside(q, h, first);
    const struct eg_block_path *closest = NULL;
    if (first->paths.count > 0 && eg_decide_refuse_unsafe(q, eg_block_slice(q->p, first->rule), v))
        return;
    for (uint32_t k = 0; k < range.count; k++) {
        const struct eg_block_rule *r = &q->p->rules[range.first + k];
        if (r->action != EG_ACTION_ALLOW || !eg_decide_has_port(q->p, r, q->port) ||
            !eg_decide_carries(q, r))
            continue;
        if (r->paths.count == 0 || eg_block_path_find(q->p, r->paths, q->request, false)) {
            eg_decide_allow_by(q, r, opened, v);
            return;
        }
        if (!closest)
            closest = eg_block_path_closest(q->p, r->paths, q->request);
    }
    if (closest)
        eg_decide_refuse_path(q, closest, v);
    else
        eg_decide_refuse(v, EG_RULE_DENIED, eg_block_slice(q->p, first->rule),
                         EG_SLICE("no rule allows it"));
}
