/* decide.c - an embedder's program: it compiles two policies, asks them, and shows why. It uses nothing but what `make install` leaves:
 *
 *     cc -o decide decide.c $(pkg-config --static --cflags --libs egress)
 *
 * decide.txt is what it prints; scripts/installed compares. */
#include <egress/policy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char org[] = "egress: 1\n"
                          "deny:\n"
                          "  - {host: \"*.paste.example\", why: \"no paste sites\"}\n"
                          "tls: {ca: corp.pem}\n";
static const char repo[] =
    "egress: 1\n"
    "name: embedded\n"
    "allow:\n"
    "  - docs.example.com\n"
    "  - \"*.paste.example\"\n"
    "  - {host: files.example.com, scheme: http, rules: [\"GET /public/**\"]}\n"
    "services:\n"
    "  llm:\n"
    "    upstream: https://llm.example.com/v1\n"
    "    rules: [\"POST /chat/*\"]\n";
static const char wrong[] = "egress: 1\nalow: [docs.example.com]\n";

/* A real program reads the file; here is one, of no use. */
static enum eg_status read_file(void *context, const char *path, struct egress_text *into)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    (void)context;
    if (strcmp(path, "/etc/egress/corp.pem") != 0)
        return EG_NOT_FOUND;
    return egress_text_append(into, pem, strlen(pem));
}

static struct egress_policy *compile(const struct egress_policy_file *files, size_t count)
{
    const struct egress_compile_options options = { .read = read_file };
    struct egress_policy *policy = NULL;
    struct egress_problems *problems = NULL;
    struct egress_problem problem;
    enum eg_status status = egress_policy_compile(files, count, &options, &policy, &problems);
    for (size_t i = 0; i < egress_problems_count(problems); i++) {
        egress_problems_get(problems, i, &problem);
        printf("%s:%u:%u: %s[%s]: %s (%s)\n", problem.file, problem.line, problem.column,
               problem.severity == EGRESS_ERROR ? "error" : "warning", problem.code, problem.text,
               problem.fix);
    }
    egress_problems_free(problems);
    if (status != EG_OK)
        printf("no policy: %s\n", egress_status_sentence(status));
    return policy;
}

static void show(const char *what, const struct egress_verdict *v)
{
    static const char *const schemes[] = { "-", "https", "http", "tcp" };
    printf("%s: %s, %s, rule %s%s%s\n", what, egress_status_name(v->status), schemes[v->scheme],
           v->rule[0] ? v->rule : "-", v->detail[0] ? ": " : "", v->detail);
}

static void tunnel(const struct egress_policy *policy, const char *host, unsigned port)
{
    const struct egress_question question = { .kind = EGRESS_ASK_TUNNEL,
                                              .host = host,
                                              .port = (uint16_t)port };
    struct egress_verdict verdict;
    egress_policy_ask(policy, &question, &verdict);
    show(host, &verdict);
}

/* What a resolver answered: every address is judged, and one bad one refuses. */
static void resolved(const struct egress_policy *policy, const char *host)
{
    static const struct egress_address list[] = { { EGRESS_IPV4, { 93, 184, 216, 34 } },
                                                  { EGRESS_IPV4, { 10, 0, 0, 7 } } };
    for (size_t count = 1; count <= 2; count++) {
        const struct egress_question question = { .kind = EGRESS_ASK_TUNNEL,
                                                  .host = host,
                                                  .port = 443,
                                                  .addresses = list,
                                                  .address_count = count };
        struct egress_verdict verdict;
        egress_policy_ask(policy, &question, &verdict);
        show(count == 1 ? "a public address" : "and a private one", &verdict);
    }
}

static void request(const struct egress_policy *policy, const char *method, const char *path)
{
    const struct egress_question question = { .kind = EGRESS_ASK_REQUEST,
                                              .host = "files.example.com",
                                              .port = 80,
                                              .method = method,
                                              .path = path };
    struct egress_verdict verdict;
    egress_policy_ask(policy, &question, &verdict);
    show(path, &verdict);
}

static void considered(void *context, const struct egress_considered *c)
{
    (void)context;
    printf("  %c %s %s at %s: %s\n", c->decides ? '*' : ' ', c->action, c->to, c->rule, c->why);
}

static void routes(const struct egress_policy *policy)
{
    for (size_t i = 0; i < egress_policy_routes(policy); i++) {
        const struct egress_question question = { .kind = EGRESS_ASK_ROUTE,
                                                  .service = egress_policy_route(policy, i),
                                                  .method = "DELETE",
                                                  .path = "/chat/completions" };
        struct egress_verdict verdict;
        struct egress_remedy remedy;
        if (!egress_policy_explain(policy, &question, &verdict, considered, NULL, &remedy))
            printf("malformed\n");
        show(question.service, &verdict);
        printf("  to %s: %s\n", remedy.key, remedy.line);
    }
}

int main(void)
{
    const struct egress_policy_file files[] = {
        { "/etc/egress/org.yaml", org, sizeof org - 1, EGRESS_LAYER_ORG, true },
        { "egress.yaml", repo, sizeof repo - 1, EGRESS_LAYER_REPO, false }
    };
    const struct egress_policy_file typo = { "typo.yaml", wrong, sizeof wrong - 1,
                                             EGRESS_LAYER_REPO, true };
    egress_policy_free(compile(&typo, 1));
    struct egress_policy *policy = compile(files, 2);
    if (!policy)
        return 1;
    printf("%s\n", egress_policy_name(policy));
    tunnel(policy, "DOCS.example.com.", 443);
    tunnel(policy, "docs.example.com", 22);
    tunnel(policy, "a.paste.example", 443);
    tunnel(policy, "elsewhere.example", 443);
    tunnel(policy, "169.254.169.254", 80);
    tunnel(policy, "::1", 443);
    tunnel(policy, "127.1", 443);
    resolved(policy, "docs.example.com");
    request(policy, "GET", "/public/%61/b");
    request(policy, "GET", "/private");
    request(policy, "GET", "/public/../private");
    routes(policy);
    egress_policy_free(policy);
    return 0;
}
