/* run_later_shell.c - files that the start-up files of shells name by a path below home: what is
 * sourced there runs as they do. A path that is put together from other variables than HOME is not
 * seen; those of well-known tools are in the table of run_later.c. Nothing is run to find out. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/files.h"
#include "cmd/run_later.h"

enum { EG_SHELL_TEXT = 1 << 20 };

/* A word's path without what it begins with, if that is home; else empty. */
static struct eg_slice below_home(const struct eg_later *l, struct eg_slice word)
{
    char own[PATH_MAX];
    int n = snprintf(own, sizeof own, "%s/", l->home);
    const char *const starts[] = { "~/", "$HOME/", "${HOME}/", own };
    for (unsigned i = 0; n > 0 && (size_t)n < sizeof own && i < sizeof starts / sizeof *starts; i++)
        if (eg_slice_starts(word, eg_slice_str(starts[i])))
            return eg_slice_from(word, strlen(starts[i]));
    return EG_SLICE_NONE;
}

static enum eg_status add_word(struct eg_later *l, struct eg_slice word)
{
    char path[PATH_MAX];
    struct stat st;
    struct eg_slice rest = below_home(l, word);
    if (rest.n == 0 || rest.n >= sizeof path)
        return EG_OK;
    int n = snprintf(path, sizeof path, "%s/%.*s", l->home, (int)rest.n, rest.p);
    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return EG_OK;
    return eg_later_add(l, path, true);
}

static bool ends_word(char c)
{
    return isspace((unsigned char)c) || strchr("\"'`;&|()<>", c);
}

/* Where a shell keeps what was typed is no program. */
static enum eg_status add_line(struct eg_later *l, struct eg_slice line)
{
    enum eg_status status = EG_OK;
    while (line.n > 0 && isspace((unsigned char)*line.p))
        line = eg_slice_from(line, 1);
    if (line.n == 0 || *line.p == '#' || memmem(line.p, line.n, "HISTFILE", 8))
        return EG_OK;
    while (line.n > 0 && status == EG_OK) {
        size_t n = 0;
        while (n < line.n && !ends_word(line.p[n]))
            n++;
        status = add_word(l, eg_slice(line.p, n));
        line = eg_slice_from(line, n < line.n ? n + 1 : n);
    }
    return status;
}

/* One that can't be read is passed over: no shell could either. */
static enum eg_status add_file(struct eg_later *l, const char *path)
{
    struct eg_buf text;
    struct eg_err err = { 0 };
    enum eg_status status = EG_OK;
    eg_buf_init(&text, EG_SHELL_TEXT);
    if (eg_file_read(path, &text, NULL, &err) == EG_OK) {
        struct eg_slice rest = eg_buf_slice(&text);
        while (rest.n > 0 && status == EG_OK) {
            const char *end = memchr(rest.p, '\n', rest.n);
            size_t n = end ? (size_t)(end - rest.p) + 1 : rest.n;
            status = add_line(l, eg_slice(rest.p, n));
            rest = eg_slice_from(rest, n);
        }
    }
    eg_buf_done(&text);
    return status;
}

enum eg_status eg_later_shell(struct eg_later *l)
{
    static const char *const names[] = { ".bashrc",  ".profile",  ".bash_profile", ".bash_login",
                                         ".zshrc",   ".zshenv",   ".zprofile",     ".zlogin",
                                         ".bash_aliases", ".xsessionrc", ".config/fish/config.fish" };
    char path[PATH_MAX];
    enum eg_status status = EG_OK;
    for (unsigned i = 0; l->home && i < sizeof names / sizeof *names && status == EG_OK; i++) {
        int n = snprintf(path, sizeof path, "%s/%s", l->home, names[i]);
        if (n > 0 && (size_t)n < sizeof path)
            status = add_file(l, path);
    }
    return status;
}
