/* schema.c - the table, and how to find a row in it.
 *
 * A row's parent stands before it. What policy.md names and this version does not build is here as reserved: it is refused by
 * name instead of being taken for a mistake, and never ignored. */
#include "policy/schema.h"

#include <stddef.h>

#define ROW_COUNT (sizeof rows / sizeof *rows)
enum {
    S = EG_SHAPE_SCALAR,
    L = EG_SHAPE_LIST,
    M = EG_SHAPE_MAP,
    REQ = EG_KEY_REQUIRED,
    UNTR = EG_KEY_UNTRUSTED,
    LATER = EG_KEY_RESERVED,
    NAMES = EG_KEY_ANY_NAME,
    REF = EG_KEY_SOURCE,
};
#define KIB    1024ull
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND 1000ull
#define DAY    (24 * 3600 * SECOND)

static const struct eg_schema_key rows[] = {
    { "egress", S, EG_TYPE_NUMBER, REQ | UNTR, 1, 1, NULL, NULL },
    { "name", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends", S | L | M, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends.preset", S, EG_TYPE_TEXT, UNTR | REQ, 0, 0, NULL, NULL },
    { "extends.with", M, EG_TYPE_NONE, UNTR | NAMES, 0, 0, NULL, NULL },
    { "extends.with.*", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends.with.*[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends[]", S | M, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends[].preset", S, EG_TYPE_TEXT, UNTR | REQ, 0, 0, NULL, NULL },
    { "extends[].with", M, EG_TYPE_NONE, UNTR | NAMES, 0, 0, NULL, NULL },
    { "extends[].with.*", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "extends[].with.*[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "mode", S, EG_TYPE_WORD, UNTR, 0, 0, "enforce|observe", "enforce" },
    { "intercept", S | L | M, EG_TYPE_TEXT, LATER, 0, 0, NULL, NULL },
    { "final", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "final[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },

    { "allow", L, EG_TYPE_NONE, UNTR, 0, 0, NULL, "[]" },
    { "allow[]", S | M, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].host", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].address", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].cidr", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].scheme", S, EG_TYPE_WORD, UNTR, 0, 0, "https|http|tcp", "https" },
    { "allow[].ports", S | L, EG_TYPE_WORD, UNTR, 0, 0, "any", NULL },
    { "allow[].ports[]", S, EG_TYPE_NUMBER, UNTR, 1, 65535, NULL, NULL },
    { "allow[].sni", S, EG_TYPE_WORD, UNTR, 0, 0, "required|optional", "required" },
    { "allow[].rules", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].rules[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].why", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "allow[].max_request_body", S, EG_TYPE_SIZE, UNTR, 1, UINT64_MAX / 2, NULL, NULL },

    { "deny", L, EG_TYPE_NONE, UNTR, 0, 0, NULL, "[]" },
    { "deny[]", S | M, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].host", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].address", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].cidr", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].ports", S | L, EG_TYPE_WORD, UNTR, 0, 0, "any", "any" },
    { "deny[].ports[]", S, EG_TYPE_NUMBER, UNTR, 1, 65535, NULL, NULL },
    { "deny[].rules", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].rules[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "deny[].why", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },

    { "services", M, EG_TYPE_NONE, UNTR | NAMES, 0, 0, NULL, "{}" },
    { "services.*", M, EG_TYPE_NONE, UNTR, 0, 0, NULL, NULL },
    { "services.*.preset", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.with", M, EG_TYPE_NONE, NAMES, 0, 0, NULL, NULL },
    { "services.*.with.*", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.with.*[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.upstream", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.plaintext", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "false" },
    { "services.*.route", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.rules", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.rules[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.deny", S | L, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.deny[]", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "services.*.credential", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.accept", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL,
      "[bearer, header:x-api-key, header:x-goog-api-key, header:api-key]" },
    { "services.*.accept[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.write", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, "bearer" },
    { "services.*.write[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.strip", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, "[]" },
    { "services.*.strip[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.env", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "services.*.env.base_url", S, EG_TYPE_TEXT, 0, 0, 0, NULL, "NAME_BASE_URL" },
    { "services.*.env.base_path", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.env.key", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, "NAME_API_KEY" },
    { "services.*.env.key[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.env.git", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.shape", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "services.*.shape.prefix", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.shape.length", S, EG_TYPE_TEXT, 0, 0, 0, NULL, "same" },
    { "services.*.limits", M, EG_TYPE_NONE, UNTR, 0, 0, NULL, NULL },
    { "services.*.limits.requests_per_minute", S, EG_TYPE_NUMBER, UNTR, 1, 1000000, NULL,
      NULL },
    { "services.*.limits.request_bytes", S, EG_TYPE_SIZE, UNTR, 1, UINT64_MAX / 2, NULL,
      NULL },
    { "services.*.limits.response_bytes", S, EG_TYPE_SIZE, UNTR, 1, UINT64_MAX / 2, NULL,
      NULL },
    { "services.*.limits.concurrent", S, EG_TYPE_NUMBER, UNTR, 1, 100000, NULL, NULL },
    { "services.*.tls", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "services.*.tls.ca", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.tls.client_cert", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.tls.client_key", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.tls.server_name", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.tls.pin", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.tls.pin[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.redact", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "true" },
    { "services.*.trailers", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, "[]" },
    { "services.*.trailers[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "services.*.websocket", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "false" },
    { "services.*.intercept", S, EG_TYPE_BOOL, LATER, 0, 0, NULL, NULL },

    { "credentials", M, EG_TYPE_NONE, NAMES, 0, 0, NULL, "{}" },
    { "credentials.*", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "credentials.*.from", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.from.cmd", L, EG_TYPE_NONE, REQ, 0, 0, NULL, NULL },
    { "credentials.*.from.cmd[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.from.json", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "false" },
    { "credentials.*.from.field", S, EG_TYPE_TEXT, 0, 0, 0, NULL, "value" },
    { "credentials.*.hosts", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.hosts[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.ttl", S, EG_TYPE_DURATION, 0, 1 * SECOND, 365 * DAY, NULL, NULL },
    { "credentials.*.load", S, EG_TYPE_WORD, 0, 0, 0, "start|lazy", "start" },
    { "credentials.*.timeout", S, EG_TYPE_DURATION, 0, 100, 600 * SECOND, NULL, "30s" },
    { "credentials.*.oauth2", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.grant", S, EG_TYPE_WORD, REQ, 0, 0,
      "client_credentials|refresh_token|jwt_bearer|github_app|google_service_account", NULL },
    { "credentials.*.oauth2.token_url", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.client_id", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.client_secret", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.refresh_token", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.key", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.scope", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.audience", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.issuer", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.subject", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.oauth2.installation", S, EG_TYPE_NUMBER, 0, 1, UINT64_MAX / 2, NULL,
      NULL },
    { "credentials.*.oauth2.auth", S, EG_TYPE_WORD, 0, 0, 0, "basic|body", "basic" },
    { "credentials.*.aws_sigv4", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "credentials.*.aws_sigv4.from", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.aws_sigv4.access_key", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.aws_sigv4.secret_key", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL, NULL },
    { "credentials.*.aws_sigv4.session_token", S | M, EG_TYPE_TEXT, REF, 0, 0, NULL,
      NULL },
    { "credentials.*.aws_sigv4.region", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "credentials.*.aws_sigv4.service", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },

    { "networks", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "networks.allow", L, EG_TYPE_NONE, 0, 0, 0, NULL, "[]" },
    { "networks.allow[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "networks.allow_metadata", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "false" },

    { "upstream", S | L | M, EG_TYPE_WORD, 0, 0, 0, "none|env", "env" },
    { "upstream[]", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "upstream[].proxy", S, EG_TYPE_TEXT, REQ, 0, 0, NULL, NULL },
    { "upstream[].credential", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream[].auth", S, EG_TYPE_WORD, 0, 0, 0, "basic|bearer", "basic" },
    { "upstream[].tls", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "upstream[].tls.ca", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream[].tls.client_cert", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream[].tls.client_key", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream[].tls.server_name", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream[].tls.pin", S | L, EG_TYPE_TEXT, LATER, 0, 0, NULL, NULL },
    { "upstream.proxies", L, EG_TYPE_NONE, REQ, 0, 0, NULL, NULL },
    { "upstream.proxies[]", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].proxy", S, EG_TYPE_TEXT, REQ, 0, 0, NULL, NULL },
    { "upstream.proxies[].credential", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].auth", S, EG_TYPE_WORD, 0, 0, 0, "basic|bearer", "basic" },
    { "upstream.proxies[].tls", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].tls.ca", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].tls.client_cert", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].tls.client_key", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].tls.server_name", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "upstream.proxies[].tls.pin", S | L, EG_TYPE_TEXT, LATER, 0, 0, NULL, NULL },
    { "upstream.resolve", S, EG_TYPE_WORD, 0, 0, 0, "remote|local", "remote" },
    { "upstream.bypass", S | L, EG_TYPE_TEXT, 0, 0, 0, NULL, "[]" },
    { "upstream.bypass[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },

    { "listen", L, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "listen[]", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "listen[].address", S, EG_TYPE_TEXT, REQ, 0, 0, NULL, NULL },
    { "listen[].protocols", L, EG_TYPE_NONE, 0, 0, 0, NULL, "[http, socks5]" },
    { "listen[].protocols[]", S, EG_TYPE_WORD, 0, 0, 0, "http|socks5", NULL },
    { "listen[].tls", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "listen[].tls.cert", S, EG_TYPE_TEXT, REQ, 0, 0, NULL, NULL },
    { "listen[].tls.key", S, EG_TYPE_TEXT, REQ, 0, 0, NULL, NULL },
    { "listen[].tls.client_ca", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "listen[].tls.require_client", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "true" },
    { "listen[].auth", S, EG_TYPE_WORD, 0, 0, 0, "token|none|client_cert", "token" },
    { "listen[].sessions", M, EG_TYPE_NONE, NAMES, 0, 0, NULL, "{}" },
    { "listen[].sessions.*", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },

    { "dns", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "dns.servers", L, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "dns.servers[]", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },

    { "tls", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "tls.ca", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "tls.system", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "true" },

    { "limits", M, EG_TYPE_NONE, UNTR, 0, 0, NULL, NULL },
    { "limits.connections", S, EG_TYPE_NUMBER, UNTR, 1, 1000000, NULL, "1024" },
    { "limits.head_bytes", S, EG_TYPE_SIZE, UNTR, 1 * KIB, 16 * MIB, NULL, "64KiB" },
    { "limits.headers", S, EG_TYPE_NUMBER, UNTR, 8, 10000, NULL, "128" },
    { "limits.target_bytes", S, EG_TYPE_SIZE, UNTR, 256, 1 * MIB, NULL, "16KiB" },
    { "limits.head_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "10s" },
    { "limits.body_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "60s" },
    { "limits.idle_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "10m" },
    { "limits.total_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "24h" },
    { "limits.dns_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "5s" },
    { "limits.connect_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "10s" },
    { "limits.tls_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "10s" },
    { "limits.response_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "10m" },
    { "limits.drain_timeout", S, EG_TYPE_DURATION, UNTR, 1, 365 * DAY, NULL, "30s" },

    { "via", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "false" },

    { "audit", M, EG_TYPE_NONE, 0, 0, 0, NULL, NULL },
    { "audit.capacity", S, EG_TYPE_NUMBER, 0, 16, 1 << 20, NULL, "8192" },
    { "audit.destinations", S, EG_TYPE_WORD, 0, 0, 0, "full|host|none", "full" },
    { "audit.file", S, EG_TYPE_TEXT, 0, 0, 0, NULL, NULL },
    { "audit.strict", S, EG_TYPE_BOOL, 0, 0, 0, NULL, "true" },

    { "tests", L, EG_TYPE_NONE, UNTR, 0, 0, NULL, "[]" },
    { "tests[]", M, EG_TYPE_NONE, UNTR, 0, 0, NULL, NULL },
    { "tests[].connect", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].request", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].service", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].address", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].expect", S, EG_TYPE_WORD, REQ | UNTR, 0, 0, "allow|deny|would_deny", NULL },
    { "tests[].rule", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].reason", S, EG_TYPE_TEXT, UNTR, 0, 0, NULL, NULL },
    { "tests[].scheme", S, EG_TYPE_WORD, UNTR, 0, 0, "https|http|tcp", NULL },
};

const struct eg_schema_key *eg_schema_each(unsigned i)
{
    return i < ROW_COUNT ? &rows[i] : NULL;
}

/* Is path == parent + separator + name? */
static bool is_path(const char *path, const char *parent, const char *separator,
                    struct eg_slice name)
{
    size_t n = strlen(parent);
    size_t s = strlen(separator);
    if (strncmp(path, parent, n) != 0 || strncmp(path + n, separator, s) != 0)
        return false;
    return eg_slice_eq(eg_slice_str(path + n + s), name);
}

/* The row whose children a row has. */
static uint32_t family(uint32_t row)
{
    static const char source[] = "credentials.*.from";
    if (row == 0 || !(rows[row - 1].flags & EG_KEY_SOURCE))
        return row;
    for (uint32_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].path, source) == 0)
            return i + 1;
    return row;
}

static uint32_t find(uint32_t parent, const char *separator, struct eg_slice name)
{
    const char *base = parent ? rows[parent - 1].path : "";
    for (uint32_t i = parent; i < ROW_COUNT; i++)
        if (is_path(rows[i].path, base, parent ? separator : "", name))
            return i + 1;
    return 0;
}

uint32_t eg_schema_child(uint32_t parent, struct eg_slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '.' || name.p[i] == '[' || name.p[i] == '*')
            return 0;
    return find(family(parent), ".", name);
}

uint32_t eg_schema_element(uint32_t parent)
{
    if (parent && (rows[parent - 1].flags & EG_KEY_ANY_NAME))
        return find(parent, ".", EG_SLICE("*"));
    return find(parent, "[]", EG_SLICE_NONE);
}

const char *eg_schema_name(uint32_t row)
{
    const char *path = row ? rows[row - 1].path : "";
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

int eg_schema_word(const char *words, struct eg_slice text)
{
    int index = 0;
    for (const char *p = words; p; index++) {
        const char *end = strchr(p, '|');
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (eg_slice_eq(eg_slice(p, n), text))
            return index;
        p = end ? end + 1 : NULL;
    }
    return -1;
}

unsigned eg_schema_distance(struct eg_slice a, const char *b)
{
    enum { CAP = 32 };
    unsigned before[CAP + 1] = { 0 }, last[CAP + 1], row[CAP + 1];
    size_t n = strlen(b);
    if (a.n > CAP || n > CAP)
        return CAP;
    for (size_t j = 0; j <= n; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned cost = eg_lower(a.p[i - 1]) != b[j - 1];
            unsigned best = last[j - 1] + cost;
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.p[i - 1] == b[j - 2] && a.p[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        memcpy(before, last, sizeof before);
        memcpy(last, row, sizeof last);
    }
    return last[n];
}

bool eg_schema_is_child(uint32_t parent, uint32_t row)
{
    const char *base = parent ? rows[family(parent) - 1].path : "";
    const char *path = rows[row - 1].path;
    size_t n = strlen(base);
    if (strncmp(path, base, n) != 0 || (n > 0 && path[n] != '.'))
        return false;
    path += n + (n > 0);
    return *path && !strpbrk(path, ".[*");
}

const char *eg_schema_nearest(uint32_t parent, struct eg_slice name)
{
    unsigned best = name.n < 5 ? 2 : 3; /* at most 1, or 2, changes */
    const char *found = NULL;
    for (uint32_t i = 0; i < ROW_COUNT; i++) {
        if (!eg_schema_is_child(parent, i + 1) || (rows[i].flags & EG_KEY_RESERVED))
            continue;
        unsigned d = eg_schema_distance(name, eg_schema_name(i + 1));
        if (d < best) {
            best = d;
            found = eg_schema_name(i + 1);
        }
    }
    return found;
}
