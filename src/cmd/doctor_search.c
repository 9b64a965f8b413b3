/* doctor_search.c - copies of known credentials, and files of variables, in the working folder and in what shells remember.
 *
 * Bounded in files, bytes and depth; where a bound was reached it says so. Links are not followed: what they lead to is elsewhere's, or is looked at
 * there. */
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/doctor.h"

#define SAY(d, state, check, fix, ...)                                                             \
    eg_doctor_say((d), (state), "secrets", (check), (fix), __VA_ARGS__)

enum { FILES_MAX = 5000, FILE_MAX = 1 << 20, BYTES_MAX = 64 << 20, DEPTH_MAX = 8 };

struct search {
    struct eg_doctor *d;
    const struct eg_doctor_values *values;
    const struct eg_run_paths *covered;
    struct eg_buf text;
    unsigned files;
    size_t bytes;
    bool cut;
};

/* Has one line a name that says secret, and a value? */
static bool has_secret_line(struct eg_slice text)
{
    while (text.n > 0) {
        long end = eg_slice_index(text, '\n');
        struct eg_slice line = eg_slice_trim(eg_slice(text.p, end < 0 ? text.n : (size_t)end));
        text = eg_slice_from(text, end < 0 ? text.n : (size_t)end + 1);
        if (eg_slice_starts(line, EG_SLICE("export ")))
            line = eg_slice_trim(eg_slice_from(line, 7));
        long equal = eg_slice_index(line, '=');
        if (equal > 0 && line.p[0] != '#' && line.n > (size_t)equal + 1 &&
            eg_child_env_secret_name(eg_slice_trim(eg_slice(line.p, (size_t)equal))))
            return true;
    }
    return false;
}

static void look_at(struct search *s, const char *path, bool variables)
{
    if (s->files == FILES_MAX || s->bytes > BYTES_MAX) {
        s->cut = true;
        return;
    }
    eg_buf_reset(&s->text);
    if (!eg_doctor_read(s->covered, path, &s->text))
        return;
    s->files++;
    s->bytes += s->text.len;
    const char *copy = eg_doctor_value_in(s->values, eg_buf_slice(&s->text));
    if (copy)
        SAY(s->d, EG_DOCTOR_BAD, "copy",
            "remove it there; a new key is better, since who has read it is not known",
            "%.300s, which the command can read, holds the value of the credential %s", path, copy);
    else if (variables && has_secret_line(eg_buf_slice(&s->text)))
        SAY(s->d, EG_DOCTOR_BAD, "variables",
            "move its keys to where the policy names them, such as keyring:SERVICE/ACCOUNT or a "
            "file outside of this folder",
            "%.300s, which the command can read, sets variables that are keys by their names",
            path);
}

static bool is_env_file(const char *name)
{
    return strncmp(name, ".env", 4) == 0 && (name[4] == '\0' || name[4] == '.') &&
           strcmp(name, ".env.example") != 0 && strcmp(name, ".env.sample") != 0 &&
           strcmp(name, ".env.template") != 0;
}

static bool is_skipped(const char *name)
{
    static const char *const names[] = { "node_modules", "objects", ".venv", "target",
                                         "__pycache__" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void search_folder(struct search *s, char *folder)
{
    char *const roots[] = { folder, NULL };
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *e;
    while (walk && !s->cut && (e = fts_read(walk))) {
        if (e->fts_info == FTS_D && e->fts_level > 0 &&
            (is_skipped(e->fts_name) || e->fts_level > DEPTH_MAX))
            (void)fts_set(walk, e, FTS_SKIP);
        else if (e->fts_info == FTS_F && e->fts_statp->st_size <= FILE_MAX)
            look_at(s, e->fts_path, is_env_file(e->fts_name));
    }
    if (walk)
        fts_close(walk);
}

/* What shells start with and remember. */
static void search_home(struct search *s, const char *home)
{
    static const char *const names[] = {
        ".bash_history",
        ".zsh_history",
        ".local/share/fish/fish_history",
        ".python_history",
        ".psql_history",
        ".node_repl_history",
        ".bashrc",
        ".bash_profile",
        ".bash_login",
        ".profile",
        ".zshrc",
        ".zshenv",
        ".zprofile",
        ".pam_environment",
        ".config/fish/config.fish",
        ".envrc",
        ".config/environment.d/envvars.conf",
        ".env",
        ".lesshst",
        ".viminfo",
        ".gitconfig",
    };
    char path[PATH_MAX];
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", home, names[i]);
        look_at(s, path, !strstr(names[i], "hist") && !strstr(names[i], "viminfo"));
    }
}

void eg_doctor_search(struct eg_doctor *d, const struct eg_doctor_values *values,
                      const struct eg_run_paths *covered)
{
    struct search s = { .d = d, .values = values, .covered = covered };
    char here[PATH_MAX];
    eg_buf_init(&s.text, FILE_MAX);
    if (d->home[0])
        search_home(&s, d->home);
    if (getcwd(here, sizeof here))
        search_folder(&s, here);
    if (s.cut)
        SAY(d, EG_DOCTOR_NOTE, "search", NULL,
            "only the first %u files beneath this folder were searched", s.files);
    eg_buf_wipe(&s.text);
    eg_buf_done(&s.text);
}
