/* presets.c - presets through a real egressd: what a vendor's client sends comes to the vendor's own host name, over TLS to port 443, with the real key
 * where the vendor wants it. The way there is a proxy of the test's that joins every CONNECT with the recording origin. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cred/sigv4.h"
#include "support/daemon.h"
#include "support/peer.h"

#define OPENAI    "sk-proj-realrealrealrealrealrealrealrealreal0001"
#define ANTHROPIC "sk-ant-api03-realrealrealrealrealrealrealreal0002"
#define GITHUB    "ghp_realrealrealrealrealrealrealreal0003"
#define GITLAB    "glpat-realrealrealrealreal0004"
#define GEMINI    "AIzarealrealrealrealrealrealrealreal005"
#define AWS_ID    "AKIAREALREALREALREAL"
#define AWS_KEY   "rEaLsEcReT/rEaLsEcReT+rEaLsEcReTrEaLsE06"

static const char POLICY[] = "egress: 1\n"
                             "services:\n"
                             "  openai: {rules: [GET /v1/models, \"POST /v1/**\"]}\n"
                             "  anthropic: {}\n"
                             "  gemini: {}\n"
                             "  github-git: {}\n"
                             "  gitlab: {with: {host: git.example.test}}\n"
                             "  aws: {with: {service: sqs, region: eu-test-1}}\n"
                             "  absent: {preset: groq}\n"
                             "upstream: {proxies: [{proxy: \"http://127.0.0.1:%u\"}]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";
static const char *const ENVIRONMENT[] = { "OPENAI_API_KEY=" OPENAI,
                                           "ANTHROPIC_API_KEY=" ANTHROPIC,
                                           "GITHUB_TOKEN=" GITHUB,
                                           "GITLAB_TOKEN=" GITLAB,
                                           "GEMINI_API_KEY=" GEMINI,
                                           "AWS_ACCESS_KEY_ID=" AWS_ID,
                                           "AWS_SECRET_ACCESS_KEY=" AWS_KEY,
                                           NULL };
static const char *const ORIGIN[] = {
    "--name", "api.openai.com",   "--name", "api.anthropic.com",
    "--name", "github.com",       "--name", "generativelanguage.googleapis.com",
    "--name", "git.example.test", "--name", "sqs.eu-test-1.amazonaws.com",
    NULL
};

/* ---- the way: CONNECT to wherever, joined with the origin ---- */

static bool pass(int from, int to)
{
    char bytes[16384];
    ssize_t n = read(from, bytes, sizeof bytes), done = 0;
    while (n > 0 && done < n) {
        ssize_t w = write(to, bytes + done, (size_t)(n - done));
        if (w <= 0)
            return false;
        done += w;
    }
    return n > 0;
}

static void join(int a, uint16_t origin)
{
    struct eg_client b;
    char head[1];
    unsigned ends = 0;
    while (ends < 4 && read(a, head, 1) == 1) /* to the empty line */
        ends = head[0] == "\r\n\r\n"[ends] ? ends + 1 : head[0] == '\r';
    eg_client_open(&b, origin);
    static const char yes[] = "HTTP/1.1 200 OK\r\n\r\n";
    if (write(a, yes, sizeof yes - 1) < 0)
        _exit(1);
    struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b.fd, .events = POLLIN } };
    while (poll(p, 2, EG_PROC_DEADLINE_MS) > 0)
        if ((p[0].revents && !pass(a, b.fd)) || (p[1].revents && !pass(b.fd, a)))
            break;
    _exit(0);
}

/* A process of its own that ends with the test's. */
static pid_t bridge(const struct eg_world *w, uint16_t *port)
{
    int listener = eg_peer_listen(port);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid > 0) {
        close(listener);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
        if (fork() == 0)
            join(fd, w->origin_port);
    _exit(0);
}

/* ---- a world ---- */

struct fixture {
    struct eg_world w;
    pid_t bridge;
    char *json; /* the child's environment */
};

static void setup(struct fixture *f)
{
    char policy[2048];
    uint16_t port;
    cr_assert(sodium_init() >= 0);
    eg_world_new(&f->w);
    eg_world_origin(&f->w, ORIGIN);
    f->bridge = bridge(&f->w, &port);
    snprintf(policy, sizeof policy, POLICY, (unsigned)port);
    eg_world_egressd(&f->w, policy, NULL, ENVIRONMENT);
    f->json = eg_daemon_environment(&f->w);
}

static void done(struct fixture *f)
{
    free(f->json);
    eg_world_done(&f->w);
    kill(f->bridge, SIGKILL);
}

static void variable(const struct fixture *f, const char *name, char *out, size_t cap)
{
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(f->json, quoted);
    cr_assert(at != NULL, "%s in %s", name, f->json);
    at = strchr(at + strlen(quoted), '"') + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(at, "\""), at);
}

/* The base URL's path behind the authority, as a client would put it before its own. */
static void base(const struct fixture *f, const char *name, char *out, size_t cap)
{
    char url[200], start[64];
    variable(f, name, url, sizeof url);
    int n = snprintf(start, sizeof start, "http://127.0.0.1:%u", (unsigned)f->w.proxy_port);
    cr_assert(strncmp(url, start, (size_t)n) == 0, "%s", url);
    snprintf(out, cap, "%s", url + n);
}

static int ask(struct fixture *f, const char *line, const char *field, char *answer, size_t cap)
{
    struct eg_client c;
    eg_client_open(&c, f->w.proxy_port);
    eg_client_text(&c, "%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\nConnection: close\r\n\r\n", line,
                   (unsigned)f->w.proxy_port, field);
    int status = eg_client_response(&c, answer, cap, NULL, NULL);
    eg_client_close(&c);
    return status;
}

/* One request as a vendor's client sends it, and what came of it: `wants` stand in the origin's record (NULL-terminated), the phantom nowhere. */
struct call {
    const char *url, *key; /* variables */
    const char *path;      /* behind the base URL */
    const char *field;     /* the phantom comes behind it */
    const char *wants[4];
};

static void try(struct fixture *f, const struct call *c)
{
    char prefix[200], phantom[600], line[900], field[700], answer[8192];
    char *before = eg_world_read(&f->w, "origin.rec", NULL);
    size_t seen = strlen(before);
    base(f, c->url, prefix, sizeof prefix);
    variable(f, c->key, phantom, sizeof phantom);
    snprintf(line, sizeof line, "GET %s%s", prefix, c->path);
    snprintf(field, sizeof field, "%s%s", c->field, phantom);
    int status = ask(f, line, field, answer, sizeof answer);
    cr_expect(!eg_head_has(answer, "X-Egress-Reason", NULL) && status > 0, "%s: %s", line, answer);
    char *all = eg_world_read(&f->w, "origin.rec", NULL), *rec = all + seen;
    for (unsigned i = 0; i < 4 && c->wants[i]; i++)
        cr_expect(strstr(rec, c->wants[i]), "%s: no %s in %s", line, c->wants[i], rec);
    cr_expect(!strstr(rec, phantom), "%s: %s", line, rec);
    free(before);
    free(all);
}

Test(presets, each_key_comes_where_its_vendor_wants_it, .timeout = 120)
{
    static const struct call calls[] = {
        { "OPENAI_BASE_URL",
          "OPENAI_API_KEY",
          "/models",
          "Authorization: Bearer ",
          { "GET /v1/models HTTP/1.1\r\n", "Host: api.openai.com\r\n",
            "Authorization: Bearer " OPENAI "\r\n" } },
        { "ANTHROPIC_BASE_URL",
          "ANTHROPIC_API_KEY",
          "/v1/models",
          "x-api-key: ",
          { "GET /v1/models HTTP/1.1\r\n", "Host: api.anthropic.com\r\n",
            "x-api-key: " ANTHROPIC "\r\n" } },
        { "ANTHROPIC_BASE_URL",
          "ANTHROPIC_API_KEY",
          "/v1/models",
          "Authorization: Bearer ",
          { "Host: api.anthropic.com\r\n", "x-api-key: " ANTHROPIC "\r\n" } },
        { "GOOGLE_GEMINI_BASE_URL",
          "GOOGLE_API_KEY",
          "/v1beta/models",
          "x-goog-api-key: ",
          { "GET /v1beta/models HTTP/1.1\r\n", "Host: generativelanguage.googleapis.com\r\n",
            "x-goog-api-key: " GEMINI "\r\n" } },
        { "GITHUB_GIT_BASE_URL",
          "GITHUB_GIT_TOKEN",
          "/acme/x.git/info/refs?service=git-upload-pack",
          "Authorization: Bearer ",
          { "GET /acme/x.git/info/refs?service=git-upload-pack HTTP/1.1\r\n",
            "Host: github.com\r\n",
            /* x-access-token:GITHUB */
            "Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3JlYWxyZWFscmVhbHJlYWxyZWFscmVhbHJlYWxy"
            "ZWFsMDAwMw==\r\n" } },
        { "GITLAB_BASE_URL",
          "GITLAB_TOKEN",
          "/api/v4/projects/a%2Fb",
          "PRIVATE-TOKEN: ",
          { "GET /api/v4/projects/a%2Fb HTTP/1.1\r\n", "Host: git.example.test\r\n",
            "PRIVATE-TOKEN: " GITLAB "\r\n" } },
    };
    struct fixture f;
    setup(&f);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        try(&f, &calls[i]);
    cr_expect(!strstr(f.json, "real") && !strstr(f.json, AWS_ID) && !strstr(f.json, AWS_KEY), "%s",
              f.json);
    cr_expect(!strstr(f.json, "\"GROQ_API_KEY\":"), "no phantom hides a login that works: %s",
              f.json);
    done(&f);
}

/* What the file's rules say holds; the preset opens its route, and no tunnel. */
Test(presets, the_files_rules_hold, .timeout = 120)
{
    struct fixture f;
    char phantom[600], field[700], answer[8192];
    struct eg_client c;
    setup(&f);
    variable(&f, "OPENAI_API_KEY", phantom, sizeof phantom);
    snprintf(field, sizeof field, "Authorization: Bearer %s", phantom);
    cr_expect_eq(ask(&f, "GET /openai/v1/files", field, answer, sizeof answer), 403, "%s", answer);
    cr_expect_eq(ask(&f, "GET /openai/v1/models", "X: y", answer, sizeof answer), 401, "%s",
                 answer);
    /* the phantom of one service is nothing to another */
    cr_expect_eq(ask(&f, "GET /anthropic/v1/models", field, answer, sizeof answer), 403, "%s",
                 answer);
    cr_expect(eg_head_has(answer, "X-Egress-Reason", "canary"), "%s", answer);
    /* what the preset refuses stays refused beside the file's own rules */
    cr_expect_eq(ask(&f, "POST /openai/v1/organization/admin_api_keys", field, answer,
                     sizeof answer),
                 403, "%s", answer);
    eg_client_open(&c, f.w.proxy_port);
    cr_expect_eq(eg_client_connect(&c, &f.w, "api.openai.com:443"), 403);
    eg_client_close(&c);
    eg_world_saw_nothing(&f.w);
    done(&f);
}

/* An aws client signs with the phantoms, for the region and service that the preset was given. */
Test(presets, aws_is_signed_anew, .timeout = 120)
{
    struct fixture f;
    char id[64], secret[64], prefix[200], time[EG_SIGV4_TIME + 1], host[64], path[256];
    char signature[EG_SIGV4_HEX + 1], line[300], fields[1024], answer[8192];
    setup(&f);
    variable(&f, "AWS_ACCESS_KEY_ID", id, sizeof id);
    variable(&f, "AWS_SECRET_ACCESS_KEY", secret, sizeof secret);
    base(&f, "AWS_ENDPOINT_URL", prefix, sizeof prefix);
    eg_sigv4_time(eg_clock_wall_us() / 1000000, time);
    snprintf(host, sizeof host, "127.0.0.1:%u", (unsigned)f.w.proxy_port);
    snprintf(path, sizeof path, "%s/1234/queue", prefix);
    const struct eg_sigv4_field signed_fields[] = { { EG_SLICE("Host"), eg_slice_str(host) },
                                                    { EG_SLICE("X-Amz-Date"),
                                                      eg_slice_str(time) } };
    const struct eg_sigv4_request r = { EG_SLICE("GET"), eg_slice_str(path), EG_SLICE_NONE,
                                        signed_fields,   2,                  EG_SLICE(EG_SIGV4_EMPTY) };
    const struct eg_sigv4_auth a = { .day = eg_slice(time, 8),
                                     .region = EG_SLICE("eu-test-1"),
                                     .service = EG_SLICE("sqs"),
                                     .fields = EG_SLICE("host;x-amz-date"),
                                     .time = eg_slice_str(time) };
    cr_assert_eq(eg_sigv4_make(&r, &a, eg_slice_str(secret), signature), EG_OK);
    snprintf(line, sizeof line, "GET %s", path);
    snprintf(fields, sizeof fields,
             "X-Amz-Date: %s\r\nAuthorization: AWS4-HMAC-SHA256 "
             "Credential=%s/%.8s/eu-test-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, "
             "Signature=%s",
             time, id, time, signature);
    int status = ask(&f, line, fields, answer, sizeof answer);
    cr_expect(status > 0 && !eg_head_has(answer, "X-Egress-Reason", NULL), "%s", answer);
    char *rec = eg_world_read(&f.w, "origin.rec", NULL);
    cr_expect(strstr(rec, "GET /1234/queue HTTP/1.1\r\n") &&
                  strstr(rec, "Host: sqs.eu-test-1.amazonaws.com\r\n") &&
                  strstr(rec, "Credential=" AWS_ID "/") &&
                  strstr(rec, "/eu-test-1/sqs/aws4_request"),
              "%s", rec);
    cr_expect(!strstr(rec, id) && !strstr(rec, signature), "%s", rec);
    free(rec);
    done(&f);
}
