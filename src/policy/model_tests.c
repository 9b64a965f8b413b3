/* model_tests.c - the entries of `tests`: is each one a question that could be asked? Nothing is asked here; a test changes nothing of what a policy means. */
#include <stdio.h>

#include "base/table.h"
#include "policy/model.h"
#include "policy/tests.h"

enum { TESTS_MAX = 10000 };

static void bad_test(struct eg_model *m, struct eg_place at, const char *fix, const char *text)
{
    eg_diag_error(m->diags, "bad-test", at, fix, "%s", text);
}

/* What is wrong with the question is said at its own key. */
static bool check_question(struct eg_model *m, const struct eg_yaml *node,
                           const struct eg_policy_test *t)
{
    struct eg_inquiry q;
    struct eg_err err = { 0 };
    enum eg_status st = eg_test_question(t, &q, &err);
    eg_inquiry_done(&q);
    if (st == EG_NOMEM)
        m->status = st;
    else if (st != EG_OK)
        bad_test(m, node->at,
                 t->connect.n   ? "write HOST:PORT"
                 : t->service.n ? "write METHOD /PATH, such as \"GET /v1/models\""
                                : "write METHOD URL, such as \"GET https://api.example/v1\"",
                 err.text[0] ? err.text : egress_status_sentence(st));
    return st == EG_OK;
}

/* connect or request, and what goes with it. NULL: reported. */
static const struct eg_yaml *question_of(struct eg_model *m, const struct eg_yaml *entry)
{
    const struct eg_yaml *connect = eg_yaml_get(entry, "connect");
    const struct eg_yaml *request = eg_yaml_get(entry, "request");
    const struct eg_yaml *service = eg_yaml_get(entry, "service");
    if ((connect && connect->bad) || (request && request->bad) || (service && service->bad))
        return NULL;
    if (!connect == !request) {
        bad_test(m, entry->at, NULL, "a test asks one question: connect, or request");
        return NULL;
    }
    if (connect && service) {
        bad_test(m, service->name_at, "write request: \"METHOD /PATH\" beside it",
                 "a service is asked for a request");
        return NULL;
    }
    return connect ? connect : request;
}

/* address, reason and rule. */
static bool check_rest(struct eg_model *m, const struct eg_yaml *entry,
                       const struct eg_policy_test *t)
{
    const struct eg_yaml *address = eg_model_child(entry, "address");
    const struct eg_yaml *reason = eg_model_child(entry, "reason");
    struct eg_addr addr;
    if (address && !eg_addr_parse(t->address, &addr)) {
        eg_diag_error(m->diags, "bad-address", address->at, NULL,
                      "this is not an IPv4 or IPv6 address in its plain form");
        return false;
    }
    if (reason && eg_test_reason(t->reason) == EG_OK) {
        bad_test(m, reason->at,
                 "such as host_denied, host_not_allowed, port_not_allowed, rule_denied, "
                 "address_denied or metadata_denied",
                 "a policy refuses nothing for such a reason");
        return false;
    }
    if (reason && t->expect == EG_EXPECT_ALLOW) {
        bad_test(m, reason->name_at, "remove it, or expect deny", "what is allowed has no reason");
        return false;
    }
    const struct eg_yaml *rule = eg_model_child(entry, "rule");
    if (rule && t->rule.n == 0) {
        bad_test(m, rule->at, "write its file:line or its why, or remove the key",
                 "nothing names no rule");
        return false;
    }
    const struct eg_yaml *scheme = eg_model_child(entry, "scheme");
    if (scheme && t->expect == EG_EXPECT_DENY) {
        bad_test(m, scheme->name_at, "remove it, or expect allow",
                 "nothing flows where it is denied");
        return false;
    }
    return true;
}

static void add_test(struct eg_model *m, const struct eg_source *source,
                     const struct eg_yaml *entry)
{
    const struct eg_yaml *expect = eg_model_child(entry, "expect");
    const struct eg_yaml *scheme = eg_model_child(entry, "scheme");
    const struct eg_yaml *service = eg_model_child(entry, "service");
    const struct eg_yaml *question = entry->bad || !expect ? NULL : question_of(m, entry);
    if (!question)
        return;
    struct eg_model_test *test = eg_model_alloc(m, sizeof *test);
    if (!test)
        return;
    *test = (struct eg_model_test){ .t = { .file = source->path,
                                           .connect = eg_model_text(entry, "connect"),
                                           .request = eg_model_text(entry, "request"),
                                           .service = eg_model_text(entry, "service"),
                                           .address = eg_model_text(entry, "address"),
                                           .rule = eg_model_text(entry, "rule"),
                                           .reason = eg_model_text(entry, "reason"),
                                           .expect = (enum eg_test_expect)expect->number } };
    if (scheme)
        test->t.scheme = (enum eg_scheme)(EG_SCHEME_HTTPS + scheme->number);
    if (service)
        test->service_at = service->at;
    eg_source_position(source, question->at.offset, &test->t.line, &test->t.column);
    if (!check_rest(m, entry, &test->t) || !check_question(m, question, &test->t))
        return;
    *m->tests_end = test;
    m->tests_end = &test->next;
}

void eg_model_add_tests(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *list)
{
    if (list && list->count > TESTS_MAX) {
        eg_diag_error(m->diags, "too-large", list->name_at, NULL, "there are more than %d tests",
                      TESTS_MAX);
        return;
    }
    for (const struct eg_yaml *node = list ? list->first : NULL; node && m->status == EG_OK;
         node = node->next)
        add_test(m, source, node);
}

void eg_model_finish_tests(struct eg_model *m)
{
    for (const struct eg_model_test *test = m->tests; test; test = test->next)
        if (test->t.service.n > 0 && !eg_table_get(m->service_names, test->t.service))
            eg_diag_error(m->diags, "bad-test", test->service_at,
                          "name one that stands under services", "there is no service %s",
                          eg_quote(test->t.service).text);
}
