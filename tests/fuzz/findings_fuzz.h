/* findings_fuzz.h - for policy_file.c: whatever is in a file, its problems are one well-formed document in every format, have codes of the table, and repeat
 * no secret. */
#ifndef EG_TESTS_FUZZ_FINDINGS_H
#define EG_TESTS_FUZZ_FINDINGS_H

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/findings.h"
#include "policy/codes.h"
#include "policy/yaml.h"

/* Tags are closed in order, attributes quoted, < > & escaped. */
static void check_xml(struct eg_slice text)
{
    const char *open[8];
    size_t length[8], depth = 0;
    for (size_t i = 0; i < text.n;) {
        const char *p = text.p + i, *end = p;
        if (*p == '&') {
            static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&quot;" };
            size_t k = 0;
            while (k < 4 && strncmp(p, names[k], strlen(names[k])) != 0)
                k++;
            if (k == 4)
                abort();
        }
        if (*p == '>')
            abort();
        if (*p != '<') {
            i++;
            continue;
        }
        for (bool quoted = false; *end != '>' || quoted; end++) {
            if (end + 1 >= text.p + text.n || (quoted && *end == '<'))
                abort();
            quoted ^= *end == '"';
        }
        i = (size_t)(end - text.p) + 1;
        bool closes = p[1] == '/', alone = end[-1] == '/' || end[-1] == '?';
        size_t n = strcspn(p + 1 + closes, " >/");
        if (closes &&
            (depth == 0 || n != length[depth - 1] || memcmp(open[depth - 1], p + 2, n) != 0))
            abort();
        if (closes) {
            depth--;
        } else if (!alone) {
            if (depth == 8)
                abort();
            open[depth] = p + 1;
            length[depth++] = n;
        }
    }
    if (depth > 0)
        abort();
}

/* Lines of what a terminal may see. */
static void check_text(struct eg_slice text)
{
    for (size_t i = 0, n; i < text.n; i += n) {
        n = text.p[i] == '\n' ? 1 : eg_yaml_visible(text.p + i, text.n - i);
        if (n == 0)
            abort();
    }
    if (text.n > 0 && text.p[text.n - 1] != '\n')
        abort();
}

static unsigned count_lines(struct eg_slice text)
{
    unsigned n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

/* A token of a known form in the file, which no document may have; NULL when there is none. */
static const char *find_secret(struct eg_slice file, size_t *n)
{
    for (size_t i = 0; i + 40 <= file.n; i++) {
        size_t k = 4;
        if (memcmp(file.p + i, "ghp_", 4) != 0)
            continue;
        while (k < 40 && ((file.p[i + k] >= 'a' && file.p[i + k] <= 'z') ||
                          (file.p[i + k] >= '0' && file.p[i + k] <= '9')))
            k++;
        *n = k;
        if (k == 40)
            return file.p + i;
    }
    return NULL;
}

static void check_document(const struct eg_findings *f, enum eg_findings_format format,
                           struct eg_slice file)
{
    struct eg_buf out;
    size_t n = 0;
    eg_buf_init(&out, 64 << 20);
    if (eg_findings_write(f, format, false, &out) != EG_OK)
        abort();
    struct eg_slice text = eg_buf_slice(&out);
    check_text(text);
    if (format == EG_FINDINGS_JSON || format == EG_FINDINGS_SARIF) {
        json_t *doc = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
        if (!doc)
            abort();
        json_decref(doc);
    }
    if (format == EG_FINDINGS_JUNIT)
        check_xml(text);
    unsigned more = f->errors + f->warnings > f->count;
    if ((format == EG_FINDINGS_GITHUB || format == EG_FINDINGS_AGENT) &&
        count_lines(text) != f->count + more)
        abort();
    const char *secret = find_secret(file, &n);
    if (secret && text.n > 0 && memmem(text.p, text.n, secret, n))
        abort();
    eg_buf_done(&out);
}

static void check_findings(const struct eg_diags *d, const char *name, struct eg_slice file)
{
    static const struct eg_diag *list[1024];
    struct eg_findings f = { .list = list,
                             .count = eg_diags_total(d),
                             .errors = eg_diags_count(d, EG_DIAG_ERROR),
                             .warnings = eg_diags_count(d, EG_DIAG_WARNING),
                             .files = &name,
                             .file_count = 1,
                             .verdict = "invalid" };
    if (f.count > 1024)
        abort();
    for (unsigned i = 0; i < f.count; i++) {
        list[i] = eg_diags_at(d, i);
        if (!eg_code_find(list[i]->code))
            abort();
    }
    /* SARIF has all rules in it, and costs more than the compiler */
    check_document(&f, file.n % 16 == 0 ? EG_FINDINGS_SARIF : EG_FINDINGS_JSON, file);
    check_document(&f, file.n % 2 ? EG_FINDINGS_JUNIT : EG_FINDINGS_GITHUB, file);
    check_document(&f, file.n % 3 ? EG_FINDINGS_PRETTY : EG_FINDINGS_AGENT, file);
}

#endif
