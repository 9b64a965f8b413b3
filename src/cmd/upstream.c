/* upstream.c - what outside the policy chooses the proxies: --upstream-proxy, else the environment.
 * It parses and remembers; whether the policy leaves the choice to it is the compiler's business.
 *
 * Invariants: user and password stand only in this object's pages, which are wiped at the end, are
 * in no core and in no forked process; no message holds a byte of a value. */
#include "cmd/upstream.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"

enum { ROOM = 64 * 1024, BYPASS_MAX = 1024, NAME_MAX_BYTES = 16 };

struct eg_sup_upstream {
    struct eg_upstream_choice choice;
    struct eg_hop hops[2][EG_HOPS_MAX]; /* by enum eg_chain */
    char texts[2][EG_HOPS_MAX][EG_HOP_TEXT];
    struct eg_sup_upstream_login logins[EG_UPSTREAM_LOGINS];
    char names[EG_UPSTREAM_LOGINS][NAME_MAX_BYTES];
    unsigned login_count;
    struct eg_slice bypass[BYPASS_MAX];
    struct eg_err fault; /* of the environment */
    size_t used;
    char room[ROOM];
};

/* ---- the object ---- */

static struct eg_sup_upstream *make(enum eg_upstream_from from)
{
    struct eg_sup_upstream *u =
        mmap(NULL, sizeof *u, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (u == MAP_FAILED)
        return NULL;
    if (madvise(u, sizeof *u, MADV_DONTFORK) < 0 || madvise(u, sizeof *u, MADV_DONTDUMP) < 0) {
        munmap(u, sizeof *u);
        return NULL;
    }
    (void)mlock(u, sizeof *u); /* where the limit allows */
    u->choice.from = from;
    u->choice.secure = u->hops[EG_CHAIN_SECURE];
    u->choice.plain = u->hops[EG_CHAIN_PLAIN];
    u->choice.bypass = u->bypass;
    return u;
}

void eg_sup_upstream_free(struct eg_sup_upstream *u)
{
    if (!u)
        return;
    sodium_memzero(u, sizeof *u);
    munmap(u, sizeof *u);
}

static char *room_for(struct eg_sup_upstream *u, size_t n)
{
    if (n > ROOM - u->used)
        return NULL;
    char *p = u->room + u->used;
    u->used += n;
    return p;
}

/* ---- one URL ---- */

static bool is_near(const struct eg_hop *hop)
{
    static const struct eg_addr v4 = { .family = 4, .b = { 127 } };
    static const struct eg_addr v6 = { .family = 6, .b = { [15] = 1 } };
    const struct eg_addr *a = &hop->at.addr;
    if (hop->at.literal)
        return a->family == 4 ? eg_addr_in(a, &v4, 8) : eg_addr_eq(a, &v6);
    return eg_slice_eq(eg_authority_host(&hop->at), EG_SLICE("localhost"));
}

/* The two become a credential of the hop. */
static enum eg_status keep_login(struct eg_sup_upstream *u, struct eg_hop *hop,
                                 struct eg_slice user, struct eg_slice password, struct eg_err *err)
{
    unsigned i = u->login_count;
    char *p = room_for(u, user.n + password.n + 1);
    if (!p || i == EG_UPSTREAM_LOGINS)
        return eg_err_set(err, EG_INVALID, NULL, 0, "user name and password are too long");
    if (eg_slice_index(user, ':') >= 0)
        return eg_err_set(err, EG_INVALID, NULL, 0, "the user name has a colon");
    memcpy(p, user.p, user.n);
    p[user.n] = ':';
    if (password.n > 0)
        memcpy(p + user.n + 1, password.p, password.n);
    snprintf(u->names[i], NAME_MAX_BYTES, "@upstream-%u", i + 1);
    u->logins[i] = (struct eg_sup_upstream_login){ .name = u->names[i],
                                                   .value = eg_slice(p, user.n + 1 + password.n) };
    hop->credential = eg_slice_str(u->names[i]);
    u->login_count++;
    return EG_OK;
}

static enum eg_status read_url(struct eg_sup_upstream *u, const char *url, struct eg_hop *hop,
                               struct eg_err *err)
{
    struct eg_slice user = EG_SLICE_NONE, password = EG_SLICE_NONE, text = eg_slice_str(url);
    if (text.n > EG_UPSTREAM_URL_MAX)
        return eg_err_set(err, EG_INVALID, NULL, 0, "it is longer than %d bytes",
                          EG_UPSTREAM_URL_MAX);
    char *room = room_for(u, text.n + 1);
    if (!room)
        return eg_err_set(err, EG_INVALID, NULL, 0, "it is too long");
    enum eg_status status = eg_proxy_url_parse(text, room, hop, &user, &password, err);
    if (status != EG_OK)
        return status;
    if (hop->kind == EG_HOP_SSH)
        hop->user = user; /* a login name; it stays in room */
    else if (user.n > 0)
        status = keep_login(u, hop, user, password, err);
    if (hop->kind != EG_HOP_SSH)
        sodium_memzero(room, text.n + 1);
    return status;
}

static enum eg_status add(struct eg_sup_upstream *u, enum eg_chain chain, const char *url,
                          const char *why, struct eg_err *err)
{
    unsigned *count = chain == EG_CHAIN_SECURE ? &u->choice.secure_count : &u->choice.plain_count;
    struct eg_hop *hop = &u->hops[chain][*count];
    unsigned before = u->login_count;
    enum eg_status status = read_url(u, url, hop, err);
    if (status != EG_OK)
        return status;
    char *text = u->texts[chain][*count];
    hop->text = eg_slice_str(eg_hop_format(hop, text, EG_HOP_TEXT));
    hop->rule = eg_slice_str(why);
    if (u->login_count > before && !hop->tls && !is_near(hop))
        u->logins[before].plain = text;
    (*count)++;
    return EG_OK;
}

/* The other chain is the same. */
static void repeat(struct eg_sup_upstream *u)
{
    memcpy(u->hops[EG_CHAIN_PLAIN], u->hops[EG_CHAIN_SECURE], sizeof u->hops[0]);
    u->choice.plain_count = u->choice.secure_count;
}

/* ---- the option ---- */

enum eg_status eg_sup_upstream_option(const char *const *urls, unsigned count,
                                      struct eg_sup_upstream **ret, struct eg_err *err)
{
    if (count > EG_HOPS_MAX)
        return eg_err_set(err, EG_INVALID, NULL, 0, "a chain has at most %d proxies", EG_HOPS_MAX);
    struct eg_sup_upstream *u = make(EG_UPSTREAM_OPTION);
    if (!u)
        return EG_NOMEM;
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < count && status == EG_OK; i++) {
        struct eg_err why = { 0 };
        status = add(u, EG_CHAIN_SECURE, urls[i], "--upstream-proxy", &why);
        if (status == EG_OK && i > 0 && u->hops[EG_CHAIN_SECURE][i].kind == EG_HOP_SSH)
            status = eg_err_set(&why, EG_INVALID, NULL, 0, "ssh:// can only be the first of them");
        if (status != EG_OK && count > 1)
            (void)!eg_err_set(err, status, NULL, 0, "proxy %u: %s", i + 1, why.text);
        else if (status != EG_OK)
            (void)!eg_err_set(err, status, NULL, 0, "%s", why.text);
    }
    if (status != EG_OK) {
        eg_sup_upstream_free(u);
        return status;
    }
    repeat(u);
    *ret = u;
    return EG_OK;
}

void eg_sup_upstream_hide(const char *value)
{
    if (strchr(value, '@'))
        memset((char *)(uintptr_t)value, '*', strlen(value));
}

int eg_sup_upstream_take(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                         unsigned count, struct eg_sup_upstream **ret)
{
    const char *urls[EG_CMD_OPTIONS_MAX];
    unsigned n = 0;
    struct eg_err err = { 0 };
    *ret = NULL;
    for (unsigned i = 0; i < count; i++) {
        const char *name = o->list[given[i].index].name;
        if (name && strcmp(name, "upstream-proxy") == 0 && n < EG_CMD_OPTIONS_MAX)
            urls[n++] = given[i].value;
    }
    if (n == 0)
        return -1;
    enum eg_status status = eg_sup_upstream_option(urls, n, ret, &err);
    for (unsigned i = 0; i < n; i++)
        eg_sup_upstream_hide(urls[i]);
    if (status == EG_NOMEM)
        return eg_cmd_usage(o, "out of memory");
    return status == EG_OK ? -1 : eg_cmd_usage(o, "--upstream-proxy: %s", err.text);
}

/* ---- the environment ---- */

/* As curl reads them: the first that is set and not empty; *name is its name. */
static const char *first_of(const struct eg_environ *e, const char *const *names, const char **name)
{
    for (; *names; names++) {
        const char *value = eg_environ_get(e, *names);
        if (value && *value) {
            *name = *names;
            return value;
        }
    }
    return NULL;
}

static void fault(struct eg_sup_upstream *u, const char *variable, const char *why)
{
    if (u->fault.status == EG_OK)
        (void)!eg_err_set(&u->fault, EG_INVALID, "upstream", 0, "%s: %s", variable, why);
}

/* A value that is no proxy stands for one all the same: what may not be known must not be direct.
 * No connection comes to it, since eg_sup_upstream_check fails first. */
static void choose(struct eg_sup_upstream *u, enum eg_chain chain, const char *value,
                   const char *name)
{
    struct eg_err why = { 0 };
    if (add(u, chain, value, name, &why) == EG_OK)
        return;
    fault(u, name, why.text);
    (void)!add(u, chain, "http://proxy.invalid:1", name, &why);
}

static void read_bypass(struct eg_sup_upstream *u, const struct eg_environ *e)
{
    static const char *const names[] = { "no_proxy", "NO_PROXY", NULL };
    static const char between[] = ", \t";
    const char *name, *value = first_of(e, names, &name);
    if (!value)
        return;
    size_t n = strlen(value);
    char *text = n <= EG_UPSTREAM_NO_PROXY_MAX ? room_for(u, n + 1) : NULL;
    if (!text) {
        fault(u, name, "it is too long");
        return;
    }
    memcpy(text, value, n + 1);
    while (*(text += strspn(text, between))) {
        n = strcspn(text, between);
        if (u->choice.bypass_count == BYPASS_MAX) {
            fault(u, name, "it has too many items");
            return;
        }
        u->bypass[u->choice.bypass_count++] = eg_slice(text, n);
        text += n;
    }
}

enum eg_status eg_sup_upstream_environment(const struct eg_environ *e, struct eg_sup_upstream **ret)
{
    static const char *const secure[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                          NULL };
    static const char *const plain[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY",
                                         NULL };
    static const char *const plain_cgi[] = { "http_proxy", "all_proxy", "ALL_PROXY", NULL };
    const char *names[2] = { NULL, NULL };
    bool cgi = eg_environ_get(e, "REQUEST_METHOD") != NULL;
    const char *first = first_of(e, secure, &names[0]);
    const char *second = first_of(e, cgi ? plain_cgi : plain, &names[1]);
    *ret = NULL;
    if (!first && !second)
        return EG_OK;
    struct eg_sup_upstream *u = make(EG_UPSTREAM_ENV);
    if (!u)
        return EG_NOMEM;
    if (first)
        choose(u, EG_CHAIN_SECURE, first, names[0]);
    if (first && second && strcmp(first, second) == 0) {
        repeat(u); /* one login for both */
        u->hops[EG_CHAIN_PLAIN][0].rule = eg_slice_str(names[1]);
    } else if (second) {
        choose(u, EG_CHAIN_PLAIN, second, names[1]);
    }
    read_bypass(u, e);
    *ret = u;
    return EG_OK;
}

/* ---- questions ---- */

const struct eg_upstream_choice *eg_sup_upstream_choice(const struct eg_sup_upstream *u)
{
    return u ? &u->choice : NULL;
}

bool eg_sup_upstream_in_force(const struct eg_sup_upstream *u, const struct eg_policy *p)
{
    return u && eg_policy_settings(p)->upstream_from == u->choice.from;
}

enum eg_status eg_sup_upstream_check(const struct eg_sup_upstream *u, const struct eg_policy *p,
                                     struct eg_err *err)
{
    if (!eg_sup_upstream_in_force(u, p) || u->fault.status == EG_OK)
        return EG_OK;
    if (err)
        *err = u->fault;
    return EG_INVALID;
}

void eg_sup_upstream_warn(const struct eg_sup_upstream *u, const struct eg_policy *p)
{
    for (unsigned i = 0; eg_sup_upstream_in_force(u, p) && i < u->login_count; i++)
        if (u->logins[i].plain)
            eg_log(EG_LOG_WARN, "%s: the proxy's login crosses the network in clear text",
                   u->logins[i].plain);
}

unsigned eg_sup_upstream_login_count(const struct eg_sup_upstream *u)
{
    return u ? u->login_count : 0;
}

const struct eg_sup_upstream_login *eg_sup_upstream_login(const struct eg_sup_upstream *u,
                                                          unsigned i)
{
    return &u->logins[i];
}
