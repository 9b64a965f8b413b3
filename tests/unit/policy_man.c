/* policy_man.c - egress.yaml(5) beside the schema: every key that is built is described with its default, every key that is reserved is listed as
 * such, and the page describes nothing else. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/schema.h"
#include "support/policies.h"

#define PAGE EG_SOURCE_DIR "/man/egress.yaml.5"
enum { PAGE_MAX = 1 << 18, PATH_MAX_ = 128 };

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, PAGE_MAX);
    cr_assert_not_null(text);
    size_t n = fread(text, 1, PAGE_MAX - 1, f);
    fclose(f);
    cr_assert(n > 0 && n < PAGE_MAX - 1);
    return text;
}

static char *read_page(void)
{
    return read_text(PAGE);
}

/* "services.*.tls" as the page writes it. */
static void page_path(const char *path, char *out)
{
    size_t n = 0;
    for (; *path; path++)
        n += (size_t)snprintf(out + n, PATH_MAX_ - n, *path == '*' ? "NAME" : "%c", *path);
    out[n] = '\0';
}

/* An element of a list has its text at the list, a name's map at the map of names. */
static bool is_described(const struct eg_schema_key *key)
{
    size_t n = strlen(key->path);
    return strcmp(key->path + n - 2, "[]") != 0 && strcmp(key->path + n - 2, ".*") != 0;
}

/* The item's text in that section, up to the next item; NULL when there is none. Twice is a fault. */
static char *item(const char *section, const char *end, const char *path)
{
    char line[PATH_MAX_ + 16];
    snprintf(line, sizeof line, "\n.It Ic %s\n", path);
    const char *at = strstr(section, line);
    if (!at || at > end)
        return NULL;
    const char *body = at + strlen(line);
    const char *again = strstr(body, line);
    cr_assert(!again || again > end, "%s stands twice", path);
    const char *next = strstr(body - 1, "\n.It ");
    const char *close = strstr(body - 1, "\n.El");
    const char *stop = next && (!close || next < close) ? next : close;
    cr_assert_not_null(stop);
    return strndup(body, stop < body ? 0 : (size_t)(stop - body) + 1);
}

static unsigned check_key(const struct eg_schema_key *key, const char *keys, const char *reserved,
                          const char *end)
{
    char path[PATH_MAX_], want[PATH_MAX_ + 64];
    bool later = key->flags & EG_KEY_RESERVED;
    page_path(key->path, path);
    char *text = later ? item(reserved, end, path) : item(keys, reserved, path);
    const char *fault = text ? NULL : later ? "is not listed as reserved" : "is not described";
    if (text && !later) {
        snprintf(want, sizeof want, "The default is\n.Ql %s .\n",
                 key->standard ? key->standard : "");
        bool says = strstr(text, "The default is\n.Ql ") != NULL;
        if (strlen(text) < 8)
            fault = "has no text";
        else if (key->standard ? !strstr(text, want) : says)
            fault = "has another default";
        else if ((key->flags & EG_KEY_REQUIRED) && !strstr(text, "Required"))
            fault = "is required, and the page does not say so";
    }
    if (fault)
        fprintf(stderr, "egress.yaml.5: %s %s\n", path, fault);
    free(text);
    return fault != NULL;
}

/* Every item between from and to is a row with or without that flag. */
static unsigned check_items(const char *from, const char *to, bool later)
{
    unsigned failed = 0;
    for (const char *p = from; (p = strstr(p, "\n.It Ic ")) != NULL && p < to; p++) {
        char path[PATH_MAX_], name[PATH_MAX_];
        bool found = false;
        const struct eg_schema_key *key;
        cr_assert_eq(sscanf(p, "\n.It Ic %127s", name), 1);
        for (unsigned i = 0; (key = eg_schema_each(i)) != NULL && !found; i++) {
            page_path(key->path, path);
            found = strcmp(path, name) == 0 && ((key->flags & EG_KEY_RESERVED) != 0) == later;
        }
        if (!found)
            fprintf(stderr, "egress.yaml.5: %s is %s\n", name,
                    later ? "not reserved" : "not built");
        failed += !found;
    }
    return failed;
}

Test(policy, the_manual_page_describes_what_is_built)
{
    char *page = read_page();
    const char *keys = strstr(page, "\n.Sh KEYS\n");
    const char *reserved = strstr(page, "\n.Sh RESERVED KEYS\n");
    const struct eg_schema_key *key;
    unsigned failed = 0;
    cr_assert(keys && reserved && keys < reserved);
    const char *end = strstr(reserved + 1, "\n.Sh ");
    cr_assert_not_null(end);
    for (unsigned i = 0; (key = eg_schema_each(i)) != NULL; i++)
        if (is_described(key))
            failed += check_key(key, keys, reserved, end);
    failed += check_items(keys, reserved, false);
    failed += check_items(reserved, end, true);
    free(page);
    cr_assert_eq(failed, 0, "%u differences", failed);
}

/* Whoever copies an example has a policy without an error. */
Test(policy, the_manual_pages_examples_compile)
{
    char *page = read_page();
    unsigned count = 0;
    char *at = strstr(page, "\n.Sh EXAMPLES\n");
    cr_assert_not_null(at);
    while ((at = strstr(at, ".Bd -literal\n")) != NULL) {
        struct eg_buf block;
        char *text = strchr(at, '\n') + 1;
        char *end = strstr(text, "\n.Ed");
        cr_assert_not_null(end);
        end[1] = '\0';
        eg_policy_close(eg_policies_build("egress.yaml", text, &block));
        eg_buf_done(&block);
        at = end + 2;
        count++;
    }
    free(page);
    cr_assert_geq(count, 4);
}

Test(policy, the_policies_that_are_shipped_compile)
{
    glob_t found;
    cr_assert_eq(glob(EG_SOURCE_DIR "/policy/*.yaml", 0, NULL, &found), 0);
    cr_assert_eq(glob(EG_SOURCE_DIR "/policy/*/*.yaml", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct eg_buf block;
        if (strstr(found.gl_pathv[i], "/presets/") || /* no policies of their own: policy_presets.c */
            strstr(found.gl_pathv[i], "/ci/"))         /* hooks and workflows */
            continue;
        char *text = read_text(found.gl_pathv[i]);
        eg_policy_close(eg_policies_build("egress.yaml", text, &block));
        eg_buf_done(&block);
        free(text);
    }
    cr_assert_geq(found.gl_pathc, 4);
    globfree(&found);
}
