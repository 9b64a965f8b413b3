/* cmd_run_changes.c - what is told after a run of paths that rules could not keep. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/run_changes.h"

static char top[64], file[96], hooks[96], hook[128], missing[96];
static struct eg_run_changes c;
static struct eg_buf out;

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void begin(void)
{
    snprintf(top, sizeof top, "/tmp/egress-changes-XXXXXX");
    cr_assert_not_null(mkdtemp(top));
    snprintf(file, sizeof file, "%s/config", top);
    snprintf(hooks, sizeof hooks, "%s/hooks", top);
    snprintf(hook, sizeof hook, "%s/pre-commit", hooks);
    snprintf(missing, sizeof missing, "%s/commondir", top);
    put(file, "[core]\n");
    cr_assert_eq(mkdir(hooks, 0755), 0);
    const char *paths[] = { file, hooks, missing };
    cr_assert_eq(eg_run_changes_begin(&c, paths, 3), EG_OK);
    eg_buf_init(&out, 65536);
}

static void end(void)
{
    eg_run_changes_done(&c);
    eg_buf_done(&out);
    unlink(hook);
    unlink(missing);
    unlink(file);
    rmdir(hooks);
    rmdir(top);
}

static const char *said(void)
{
    eg_buf_reset(&out);
    cr_assert_eq(eg_run_changes_say(&c, "run: ", &out), EG_OK);
    cr_assert_eq(eg_buf_append(&out, "", 1), EG_OK);
    return eg_buf_slice(&out).p;
}

#define CHANGES(name) Test(cmd_run_changes, name, .init = begin, .fini = end)

CHANGES(nothing_changed_and_nothing_is_said)
{
    cr_expect_str_eq(said(), "");
}

CHANGES(each_that_changed_is_named)
{
    put(hook, "#!/bin/sh\n");
    put(missing, "/tmp/evil\n");
    cr_expect(strstr(said(), hooks) && strstr(said(), missing) && !strstr(said(), file), "%s", said());
    cr_expect_eq(strncmp(said(), "run: /tmp/", 10), 0);
}

/* The times that a child can set are not those that count. */
CHANGES(times_can_not_be_set_back)
{
    struct stat st;
    cr_assert_eq(stat(file, &st), 0);
    put(file, "[evil]\n");
    const struct timespec times[] = { st.st_atim, st.st_mtim };
    cr_assert_eq(utimensat(AT_FDCWD, file, times, 0), 0);
    cr_expect(strstr(said(), file));
}

CHANGES(hook_of_the_same_length_is_another_one)
{
    put(hook, "aaaa");
    const char *paths[] = { hooks };
    eg_run_changes_done(&c);
    cr_assert_eq(eg_run_changes_begin(&c, paths, 1), EG_OK);
    unlink(hook);
    put(hook, "bbbb");
    cr_expect(strstr(said(), hooks));
}
