/* tests.h - `tests` of a policy: what each one asks, and whether the compiled policy answers as it expects. The answers are those of the functions that
 * the proxy asks. Pure. */
#ifndef EG_POLICY_TESTS_H
#define EG_POLICY_TESTS_H

#include "policy/compile.h"
#include "policy/inquiry.h"

/* The question of a test. EG_BAD_HOST, EG_BAD_TARGET, EG_INVALID with a text, EG_NOMEM; eg_inquiry_done afterwards in every case. The inquiry borrows t's texts. */
enum eg_status eg_test_question(const struct eg_policy_test *t, struct eg_inquiry *ret,
                                struct eg_err *err) EG_MUST_USE;
/* The reason code that a policy may refuse with; EG_OK: it is none of these. */
enum eg_status eg_test_reason(struct eg_slice name);

struct eg_test_result {
    bool passed;
    enum eg_status status;    /* of the way that decides; EG_OK: it passes */
    enum eg_status would_deny;
    struct eg_slice rule;     /* "file:line" of the deciding rule; lives with the policy; empty: no rule spoke */
    char way[EG_WAY_TEXT];    /* the way that decides */
    char text[2 * EG_WAY_TEXT]; /* a sentence: what was expected and what is; empty when it passed */
};
/* A test of a URL has several ways: it is allowed if one of them lets it through, and denied if none does. rule, reason and scheme must be those of one
 * way that has the outcome. EG_NOMEM. */
enum eg_status eg_policy_test(const struct eg_policy *p, const struct eg_policy_test *t,
                              struct eg_test_result *ret) EG_MUST_USE;

#endif
