/* decide_address.c - may this address be connected, and does a deny rule cover a pattern? */
#include "policy/decide.h"
#include "policy/ranges.h"

static bool is_opened(const struct eg_question *q, const struct eg_decide_hits *h)
{
    const struct eg_question tunnel = { .p = q->p, .port = q->port };
    return eg_decide_rule_of(&tunnel, h, EG_ACTION_ALLOW, false) ||
           eg_decide_rule_of(&tunnel, h, EG_ACTION_SERVICE, false);
}

/* The text of what is wrong with the address itself, or the empty slice. range: of the address; h: the rules on it. */
static struct eg_slice range_fault(const struct eg_question *q, const struct eg_range *range,
                                   const struct eg_decide_hits *h)
{
    bool network = eg_decide_rule_of(q, h, EG_ACTION_NETWORK, true) != NULL;
    if (!network && eg_decide_rule_of(q, h, EG_ACTION_OWN, true))
        return EG_SLICE("an address of this machine; networks.allow can open it");
    return range && !network ? eg_slice_str(range->text) : EG_SLICE_NONE;
}

/* Do packets to this form end at the IPv4 address it embeds? Then that one is judged too. 64:ff9b:1::/48 and Teredo are opened as
 * they are: where they lead is their translator's or relay's configuration. */
static bool judged_inside(const struct eg_addr *a, const struct eg_range *range)
{
    bool local_nat64 = a->family == 6 && a->b[1] == 0x64 && a->b[2] == 0xff && a->b[5] == 1;
    bool teredo = a->family == 6 && a->b[0] == 0x20 && a->b[1] == 0x01;
    return !range || (!local_nat64 && !teredo);
}

bool eg_decide_judged_inside(const struct eg_addr *a)
{
    return judged_inside(a, eg_range_of(a));
}

/* h: the rules on the address. */
static struct eg_slice address_fault(const struct eg_question *q, const struct eg_addr *a,
                                     const struct eg_decide_hits *h)
{
    struct eg_addr inside[EG_EMBEDDED_MAX];
    struct eg_decide_hits of_inside;
    const struct eg_range *range = eg_range_of(a);
    struct eg_slice fault = range_fault(q, range, h);
    unsigned n = fault.n || !judged_inside(a, range) ? 0 : eg_range_embedded(a, inside);
    for (unsigned i = 0; i < n && fault.n == 0; i++) {
        eg_decide_find_addr(q->p, &inside[i], 32, &of_inside);
        fault = range_fault(q, eg_range_of(&inside[i]), &of_inside);
    }
    return fault;
}

void eg_policy_judge_address(const struct eg_policy *p, const struct eg_verdict *by_name,
                             const struct eg_addr *addr, uint16_t port, struct eg_verdict *ret)
{
    const struct eg_question q = { .p = p, .port = port };
    struct eg_decide_hits h;
    if (addr->family != 4 && addr->family != 6) {
        eg_decide_refuse(ret, EG_ADDRESS_DENIED, EG_SLICE_NONE, EG_SLICE("this is no address"));
        return;
    }
    if (!p->head->settings.allow_metadata && eg_metadata_addr(addr)) {
        eg_decide_refuse(ret, EG_METADATA_DENIED, EG_SLICE_NONE,
                         EG_SLICE("the name leads to a cloud's metadata service"));
        return;
    }
    eg_decide_find_addr(p, addr, eg_decide_full_length(addr), &h);
    const struct eg_block_rule *deny = eg_decide_denied_addr(&q, addr, &h);
    if (deny) {
        eg_decide_refuse_by(p, deny, EG_ADDRESS_DENIED, ret);
        return;
    }
    if (!(by_name->opened && is_opened(&q, &h))) {
        struct eg_slice fault = address_fault(&q, addr, &h);
        if (fault.n) {
            eg_decide_refuse(ret, EG_ADDRESS_DENIED, EG_SLICE_NONE, fault);
            return;
        }
    }
    *ret = *by_name;
    ret->status = EG_OK;
}

/* ---- for check ---- */

/* Are all of these ports (0: any) among the rule's? */
static bool covers_ports(const struct eg_policy *p, const struct eg_block_rule *r,
                         const uint16_t *ports, unsigned count)
{
    if (r->ports.count == 0)
        return true;
    for (unsigned i = 0; i < count; i++)
        if (!eg_decide_has_port(p, r, ports[i]))
            return false;
    return count > 0;
}

struct eg_slice eg_policy_covered(const struct eg_policy *p, const struct eg_pattern *to,
                                  const uint16_t *ports, unsigned count, bool opaque)
{
    struct eg_decide_hits h = { { NULL }, 0 };
    if (to->kind == EG_PATTERN_PREFIX)
        eg_decide_find_addr(p, &to->addr, to->bits, &h);
    else if (to->kind == EG_PATTERN_EXACT)
        eg_decide_find_name(p, to->host, &h);
    else
        eg_decide_find_below(p, to->host, true, &h);
    for (unsigned i = 0; i < h.count; i++)
        for (uint32_t k = 0; k < h.list[i]->rules.count; k++) {
            const struct eg_block_rule *r = &p->rules[h.list[i]->rules.first + k];
            if (r->action != EG_ACTION_DENY)
                break; /* deny rules are the first of a target */
            if ((opaque || r->paths.count == 0) &&
                covers_ports(p, r, ports, count))
                return eg_block_slice(p, r->rule);
        }
    return EG_SLICE_NONE;
}
