/* proxy_hops.c - the list of layers that a chain of proxies becomes, how a hop is named, and which
 * reason a hop's failure has. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proxy/hops.h"

/* "s" a plain SOCKS5 proxy, "h" a plain HTTP one, "S" and "H" the same over TLS, "g" an ssh gateway. */
static unsigned chain_of(const char *text, struct eg_hop *hops)
{
    unsigned n = 0;
    for (; text[n]; n++) {
        char c = text[n], at[32];
        struct eg_hop *hop = &hops[n];
        snprintf(at, sizeof at, "p%u.test:%u", n, 1000 + n);
        memset(hop, 0, sizeof *hop);
        hop->kind = c == 'g' ? EG_HOP_SSH : c == 's' || c == 'S' ? EG_HOP_SOCKS5 : EG_HOP_HTTP;
        hop->tls = c == 'S' || c == 'H';
        cr_assert_eq(eg_authority_parse(eg_slice_str(at), 0, &hop->at, NULL), EG_OK);
    }
    return n;
}

/* "dial p0.test:1000 | tls 0 | connect@0 p1.test:1001 | ..." */
static void plan_text(const char *chain, bool absolute, char *out, size_t cap)
{
    static const char *const words[] = { "dial", "channel", "tls", "connect", "socks" };
    struct eg_hop hops[EG_HOPS_MAX];
    struct eg_link links[EG_LINKS_MAX];
    struct eg_authority origin;
    char to[EG_AUTHORITY_TEXT];
    size_t at = 0;
    cr_assert_eq(eg_authority_parse(EG_SLICE("origin.test:443"), 0, &origin, NULL), EG_OK);
    unsigned n = eg_hops_plan(hops, chain_of(chain, hops), absolute, &origin, links);
    cr_assert(n <= EG_LINKS_MAX);
    out[0] = 0;
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(
            out + at, cap - at, "%s%s%u %s", i ? "|" : "", words[links[i].kind], links[i].hop,
            links[i].to ? eg_authority_format(links[i].to, 0, to, sizeof to) : "-");
}

static const struct {
    const char *chain;
    bool absolute;
    const char *plan;
} plans[] = {
    { "h", false, "dial0 p0.test:1000|connect0 origin.test:443" },
    { "H", false, "dial0 p0.test:1000|tls0 -|connect0 origin.test:443" },
    { "s", false, "dial0 p0.test:1000|socks0 origin.test:443" },
    { "S", false, "dial0 p0.test:1000|tls0 -|socks0 origin.test:443" },
    { "g", false, "channel0 origin.test:443" },
    { "gH", false, "channel0 p1.test:1001|tls1 -|connect1 origin.test:443" },
    { "sH", false, "dial0 p0.test:1000|socks0 p1.test:1001|tls1 -|connect1 origin.test:443" },
    { "HSh", false,
      "dial0 p0.test:1000|tls0 -|connect0 p1.test:1001|tls1 -|socks1 p2.test:1002|connect2 "
      "origin.test:443" },
    { "HHHH", false,
      "dial0 p0.test:1000|tls0 -|connect0 p1.test:1001|tls1 -|connect1 p2.test:1002|tls2 "
      "-|connect2 p3.test:1003|tls3 -|connect3 origin.test:443" },
    /* absolute-form: nobody is asked for the origin */
    { "h", true, "dial0 p0.test:1000" },
    { "H", true, "dial0 p0.test:1000|tls0 -" },
    { "sh", true, "dial0 p0.test:1000|socks0 p1.test:1001" },
    { "hH", true, "dial0 p0.test:1000|connect0 p1.test:1001|tls1 -" },
    { "gh", true, "channel0 p1.test:1001" },
    /* can't be built */
    { "s", true, "" },
    { "g", true, "" },
    { "hs", true, "" },
    { "hg", false, "" },
    { "gg", false, "" },
    { "", false, "" },
    { "", true, "" },
};

Test(proxy, hops_become_a_list_of_layers)
{
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        char got[1024];
        plan_text(plans[i].chain, plans[i].absolute, got, sizeof got);
        cr_expect_str_eq(got, plans[i].plan, "%s: %s", plans[i].chain, got);
    }
}

Test(proxy, hops_are_named_by_their_place)
{
    struct eg_way way = { .count = 1 };
    char text[200], small[16];
    way.hop[0].text = EG_SLICE("http://a.test:3128");
    way.hop[1].text = EG_SLICE("https://b.test:8443");
    cr_assert_str_eq(eg_hops_say(&way, 0, "no", text, sizeof text), "http://a.test:3128: no");
    way.count = 2;
    cr_assert_str_eq(eg_hops_say(&way, 1, "it answered 502", text, sizeof text),
                     "https://b.test:8443 (hop 2 of 2): it answered 502");
    cr_assert_str_eq(eg_hops_say(&way, 0, "no", small, sizeof small), "http://a.test:3");
}

Test(proxy, hops_that_break_off_have_a_reason_of_their_own)
{
    static const enum eg_status breaks[] = { EG_CLOSED,  EG_EOF,          EG_IO,
                                             EG_INVALID, EG_BAD_RESPONSE, EG_RESPONSE_TRUNCATED };
    static const enum eg_status kept[] = { EG_CONNECT_REFUSED,
                                           EG_CONNECT_TIMEOUT,
                                           EG_TLS_UNTRUSTED,
                                           EG_TLS_NAME,
                                           EG_UPSTREAM_PROXY_AUTH,
                                           EG_UPSTREAM_PROXY_REFUSED,
                                           EG_SSH_DOWN,
                                           EG_DNS_NOT_FOUND,
                                           EG_NOMEM,
                                           EG_CREDENTIAL_UNAVAILABLE };
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++)
        cr_expect_eq(eg_hops_reason(breaks[i]), EG_UPSTREAM_PROXY_FAILED);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        cr_expect_eq(eg_hops_reason(kept[i]), kept[i]);
}
