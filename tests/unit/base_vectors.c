/* base_vectors.c - the reader of vector tables: what it decodes, and that no broken table passes for
 * a whole one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/vectors.h"

struct seen {
    size_t n;
    int line[8];
    char cells[8][64];
};

static void note(const struct eg_vector_row *row, void *ctx)
{
    struct seen *s = ctx;
    cr_assert_lt(s->n, 8u);
    s->line[s->n] = row->line;
    size_t n = 0;
    for (size_t i = 0; i < row->columns; i++)
        n += (size_t)snprintf(s->cells[s->n] + n, 64 - n, "[%s]", eg_vector_show(row->cell[i]));
    s->n++;
}

static long read_text(const char *text, struct seen *s)
{
    char path[40];
    int fd = memfd_create("table", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *s = (struct seen){ 0 };
    long rows = eg_vectors_each(path, 2, note, s);
    close(fd);
    return rows;
}

#define HEAD "| a | b |\n|---|:-:|\n"

Test(base, vectors_cells)
{
    struct seen s;
    cr_assert_eq(read_text("# text\n" HEAD "| ` x\\x00\\xFf ` |  |\n|\\|\\\\|a \\r\\n\\t b|\r\n"
                           "| `` | ` |\n| --- | `a` b |\n\ntext | x |\n| c |\n|---|\n| 1 |\n\n" HEAD
                           "| z | y |",
                           &s),
                 5);
    cr_expect_str_eq(s.cells[0], "[ x\\x00\\xff ][]");
    cr_expect_str_eq(s.cells[1], "[|\\x5c][a \\x0d\\x0a\\x09 b]");
    cr_expect_str_eq(s.cells[2], "[][`]");
    cr_expect_str_eq(s.cells[3], "[---][`a` b]");
    cr_expect_str_eq(s.cells[4], "[z][y]");
    cr_expect_eq(s.line[0], 4);
    cr_expect_eq(s.line[4], 16);
}

Test(base, vectors_faults)
{
    const char *broken[] = {
        HEAD "| a |\n",
        HEAD "| a | b | c |\n",
        HEAD "| a | b\n",
        HEAD "| a | \\q |\n",
        HEAD "| a | \\x4 |\n",
        HEAD "| a | \\xg0 |\n",
        HEAD "| a | b\\ |\n",
        HEAD "| a | b\\|\n",
        "| a | b |\n| c | d |\n",
        "| c |\n|---|\n| a | b |",
        HEAD "|a|b|\n|||||||||||||||||||||\n",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct seen s;
        cr_expect_eq(read_text(broken[i], &s), -1, "%s", broken[i]);
    }
    cr_expect_eq(eg_vectors_each("/nonexistent/table.md", 2, note, NULL), -1);
}

Test(base, vectors_without_rows)
{
    struct seen s;
    cr_expect_eq(read_text("", &s), 0);
    cr_expect_eq(read_text(HEAD, &s), 0);
    cr_expect_eq(read_text("no table | here |\n", &s), 0);
}
