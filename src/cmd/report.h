/* report.h - what commands find, in forms that other programs read: cleaned text, JSON, XML (JUnit), annotations of GitHub.
 *
 * Texts may hold what a policy file or a path holds, and so anything: every function here writes one line of well-formed UTF-8 without bytes that a
 * terminal obeys, and with the escapes of its format. Secrets are masked before (policy/diag.h); nothing here looks for them. */
#ifndef EG_CMD_REPORT_H
#define EG_CMD_REPORT_H

#include <jansson.h>

#include "base/buf.h"

/* The text as a terminal may see it, in one line: tabs and line ends become blanks, other control bytes, broken UTF-8 and what hides or turns text '?'.
 * EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_report_clean(struct eg_slice text, struct eg_buf *out) EG_MUST_USE;
/* The same as a JSON string; NULL without memory. */
json_t *eg_report_string(struct eg_slice text);
/* The same for the content of an element or of an attribute in double quotes. */
enum eg_status eg_report_xml(struct eg_slice text, struct eg_buf *out) EG_MUST_USE;
/* The document in one line and a newline. EG_NOMEM where doc is NULL. */
enum eg_status eg_report_json(const json_t *doc, struct eg_buf *out) EG_MUST_USE;

/* One place with something to say. file and fix may be NULL, line 0: the file as a whole. */
struct eg_report_note {
    const char *level; /* "error", "warning", "notice": GitHub's words */
    const char *file;
    unsigned line, column, width; /* code points from 1 */
    const char *title;            /* a code */
    const char *text;
    const char *fix;
};
/* "::error file=...,line=...::text", a line of its own: a workflow command of GitHub's. */
enum eg_status eg_report_github(const struct eg_report_note *n, struct eg_buf *out) EG_MUST_USE;
/* "file:line:col level title text; fix: ...": as little as a program that reads on needs. */
enum eg_status eg_report_agent(const struct eg_report_note *n, struct eg_buf *out) EG_MUST_USE;

/* JUnit, as CI systems read it: begin, cases of one suite (counts: of them), end. */
struct eg_report_case {
    const char *name;
    const char *kind;    /* of the failure; NULL: it passed */
    const char *message; /* what failed in one line; of one that passed: a note, may be NULL */
    const char *detail;  /* more of it; may be NULL */
};
enum eg_status eg_report_junit_begin(struct eg_buf *out) EG_MUST_USE;
enum eg_status eg_report_junit_suite(const char *name, const struct eg_report_case *cases,
                                     unsigned count, struct eg_buf *out) EG_MUST_USE;
enum eg_status eg_report_junit_end(struct eg_buf *out) EG_MUST_USE;

#endif
