/* decide.c - what a decision costs, and what the policy costs to compile. Prints one JSON line.
 *
 *   decide --hosts N     N host rules: names, wildcards and ranges of addresses
 *   decide --paths N     N patterns on one host
 *
 * {"rules","compile_ms","block_bytes","peak_mib", "NAME_ns" ...}: CPU time of this thread for one question of that name, the lower quartile of rounds, since memory is shared with others;
 * questions are prepared before and drawn from all of the rules, so that a large policy is asked outside of the caches too. peak_mib is the most memory that the
 * process held until the policy was open. */
#include <getopt.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/sample.h"
#include "policy/compile.h"

enum { QUESTIONS = 8192, ROUNDS = 16, TEXT_MAX = 64 << 20, BLOCK_MAX = 256 << 20 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t seed = 88172645463325252u;

static unsigned below(unsigned n) /* xorshift64 */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 32) % n;
}

/* ---- the policy ---- */

static void put(struct eg_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct eg_buf *b, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || eg_buf_append(b, line, (size_t)n) != EG_OK)
        bench_die("no memory");
}

static const char *const words[] = { "api",  "cdn",     "static", "login",
                                     "data", "eu-west", "build",  "registry" };
static const char *const tops[] = { "example", "com.example", "net.example", "org.example",
                                    "io.example" };

/* The i-th name of the list; as long as names are. */
static void name_of(unsigned i, char out[EG_HOST_MAX])
{
    snprintf(out, EG_HOST_MAX, "%s.host%u.%s", words[i % 8], i, tops[i % 5]);
}

/* Of ten rules, eight are names, one is a wildcard and one a range. */
static void put_hosts(struct eg_buf *b, unsigned count)
{
    char name[EG_HOST_MAX];
    put(b, "egress: 1\nallow:\n");
    for (unsigned i = 0; i < count; i++) {
        name_of(i, name);
        if (i % 10 < 8)
            put(b, "  - %s\n", name);
        else if (i % 10 == 8)
            put(b, "  - \"*.%s\"\n", name);
        else
            put(b, "  - {cidr: \"%u.%u.%u.0/24\", ports: [443]}\n", 20 + i / 65536 % 50,
                i / 256 % 256, i % 256);
    }
}

static void put_paths(struct eg_buf *b, unsigned count)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE" };
    put(b, "egress: 1\nallow:\n  - host: api.example.com\n    scheme: http\n    rules:\n");
    for (unsigned i = 0; i < count; i++)
        switch (i % 4) {
        case 0:
            put(b, "      - %s /v1/thing%u\n", methods[i / 4 % 4], i);
            break;
        case 1:
            put(b, "      - %s /v1/thing%u/*/parts/**\n", methods[i / 4 % 4], i);
            break;
        case 2:
            put(b, "      - %s /repos/*/*/kind%u/*\n", methods[i / 4 % 4], i);
            break;
        default:
            put(b, "      - \"* /files/{a,b}/x%u-*\"\n", i);
        }
}

static struct eg_policy *compile(struct eg_slice text, struct eg_buf *block, double *ms)
{
    struct eg_policy_file file = { "bench.yaml", text, EG_LAYER_REPO, true };
    const struct eg_policy_reader reader = { .read = NULL };
    struct eg_diags *diags;
    struct eg_policy *p;
    struct eg_err err = { 0 };
    uint64_t begun = cpu_ns();
    if (eg_diags_new(&diags) != EG_OK ||
        eg_policy_compile(&file, 1, &reader, diags, block, &err) != EG_OK ||
        eg_policy_open(block->data, block->len, &p, &err) != EG_OK)
        bench_die("compile: %s", err.text);
    *ms = (double)(cpu_ns() - begun) / 1e6;
    eg_diags_free(diags);
    return p;
}

/* ---- the questions ---- */

struct question {
    struct eg_authority to;
    char path[80];
    struct eg_slice method;
};
static struct question *questions;
static const struct eg_policy *policy;
static unsigned allowed; /* of the round: what was asked for must be what is answered */

static void ask_tunnel(const struct question *q)
{
    struct eg_verdict v;
    eg_policy_judge_tunnel(policy, &q->to, &v);
    allowed += v.status == EG_OK;
}

static void ask_http(const struct question *q)
{
    struct eg_verdict v;
    eg_policy_judge_http(policy, &q->to, q->method, eg_slice_str(q->path),
                         (struct eg_path_flags){ 0 }, &v);
    allowed += v.status == EG_OK;
}

static void ask_address(const struct question *q)
{
    const struct eg_verdict by_name = { .status = EG_OK, .scheme = EG_SCHEME_HTTPS };
    struct eg_verdict v;
    eg_policy_judge_address(policy, &by_name, &q->to.addr, q->to.port, &v);
    allowed += v.status == EG_OK;
}

static void measure(const char *name, void (*ask)(const struct question *), unsigned expected)
{
    double ns[ROUNDS];
    for (unsigned r = 0; r < ROUNDS; r++) {
        allowed = 0;
        uint64_t begun = cpu_ns();
        for (unsigned i = 0; i < QUESTIONS; i++)
            ask(&questions[i]);
        ns[r] = (double)(cpu_ns() - begun) / QUESTIONS;
        if (allowed != expected)
            bench_die("%s: %u of %u allowed, not %u", name, allowed, QUESTIONS, expected);
        for (unsigned k = r; k > 0 && ns[k] < ns[k - 1]; k--) {
            double swap = ns[k];
            ns[k] = ns[k - 1];
            ns[k - 1] = swap;
        }
    }
    printf(",\"%s_ns\":%.1f", name, ns[ROUNDS / 4]);
}

static void to_name(struct question *q, const char *name, uint16_t port)
{
    if (eg_authority_parse(eg_slice_str(name), port, &q->to, NULL) != EG_OK)
        bench_die("a bad name: %s", name);
}

static unsigned pick(unsigned count, unsigned kind) /* a rule of that kind */
{
    unsigned tens = count / 10;
    return below(tens) * 10 + (kind == 0 ? below(8) : kind);
}

static void ask_hosts(unsigned count)
{
    char name[EG_HOST_MAX + 16];
    for (unsigned i = 0; i < QUESTIONS; i++) {
        name_of(pick(count, 0), name);
        to_name(&questions[i], name, 443);
    }
    measure("hit", ask_tunnel, QUESTIONS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        name_of(count + below(1000000), name);
        to_name(&questions[i], name, 443);
    }
    measure("miss", ask_tunnel, 0);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        memcpy(name, "deep.below.", 11);
        name_of(pick(count, 8), name + 11);
        to_name(&questions[i], name, 443);
    }
    measure("wildcard", ask_tunnel, QUESTIONS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        unsigned k = pick(count, 9);
        struct eg_addr a = { 4,
                             { (uint8_t)(20 + k / 65536 % 50), (uint8_t)(k / 256), (uint8_t)k,
                               (uint8_t)below(256) } };
        eg_authority_from_addr(&a, 443, &questions[i].to);
    }
    measure("literal", ask_tunnel, QUESTIONS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        questions[i].to.addr = (struct eg_addr){
            4, { (uint8_t)(130 + below(30)), (uint8_t)below(256), (uint8_t)below(256), 1 }
        };
    }
    measure("address4", ask_address, QUESTIONS);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        questions[i].to.addr =
            (struct eg_addr){ 6,
                              { 0x26, 0x06, (uint8_t)below(256), (uint8_t)below(256), [15] = 1 } };
    }
    measure("address6", ask_address, QUESTIONS);
}

enum { LITERAL, DEEP, STARRED, BRACES, MISS };

/* A path that rule k, which is of that form, names; MISS: that none names. */
static void path_of(unsigned form, unsigned k, char out[80])
{
    if (form == LITERAL)
        snprintf(out, 80, "/v1/thing%u", k);
    else if (form == DEEP)
        snprintf(out, 80, "/v1/thing%u/one/parts/two/three", k);
    else if (form == STARRED)
        snprintf(out, 80, "/repos/acme/web/kind%u/17", k);
    else if (form == BRACES)
        snprintf(out, 80, "/files/b/x%u-17", k);
    else
        snprintf(out, 80, "/v1/other%u/one", k);
}

static void ask_paths(unsigned count)
{
    static const char *const names[] = { "literal", "deep", "starred", "braces", "path_miss" };
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE" };
    for (unsigned form = LITERAL; form <= MISS; form++) {
        for (unsigned i = 0; i < QUESTIONS; i++) {
            struct question *q = &questions[i];
            unsigned k = below(count / 4) * 4 + form % 4;
            to_name(q, "api.example.com", 80);
            path_of(form, k, q->path);
            q->method = eg_slice_str(methods[k / 4 % 4]);
        }
        measure(names[form], ask_http, form == MISS ? 0 : QUESTIONS);
    }
}

int main(int argc, char **argv)
{
    static const struct option list[] = { { "hosts", 1, NULL, 'h' },
                                          { "paths", 1, NULL, 'p' },
                                          { NULL, 0, NULL, 0 } };
    unsigned hosts = 0, paths = 0;
    struct eg_buf text, block;
    struct rusage usage;
    double ms;
    for (int o; (o = getopt_long(argc, argv, "", list, NULL)) != -1;)
        if (o == 'h')
            hosts = (unsigned)bench_number(optarg, 200000) / 10 * 10;
        else if (o == 'p')
            paths = (unsigned)bench_number(optarg, 100000) / 4 * 4;
        else
            return 2;
    questions = calloc(QUESTIONS, sizeof *questions);
    if (!questions || (hosts == 0) == (paths == 0))
        bench_die("decide --hosts N | --paths N");
    eg_buf_init(&text, TEXT_MAX);
    eg_buf_init(&block, BLOCK_MAX);
    if (hosts)
        put_hosts(&text, hosts);
    else
        put_paths(&text, paths);
    struct eg_policy *p = compile(eg_buf_slice(&text), &block, &ms);
    policy = p;
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("{\"rules\":%u,\"text_bytes\":%zu,\"compile_ms\":%.1f,\"block_bytes\":%zu,\"peak_mib\":%"
           ".1f",
           hosts + paths, text.len, ms, block.len, (double)usage.ru_maxrss / 1024);
    if (hosts)
        ask_hosts(hosts);
    else
        ask_paths(paths);
    printf("}\n");
    eg_policy_close(p);
    eg_buf_done(&block);
    eg_buf_done(&text);
    free(questions);
    return 0;
}
