/* blocks.c - finds the policies of a decision table and compiles them in their layers. */
#include "vectors/blocks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

void eg_blocks_read(struct eg_blocks *b, const char *path)
{
    b->file = read_file(path);
    for (char *p = b->file; (p = strstr(p, "```yaml ")) != NULL;) {
        char word[32] = "";
        char *body = strchr(p, '\n') + 1;
        char *end = strstr(body, "```");
        struct eg_vector_block *block = &b->list[b->count++];
        cr_assert(end && b->count < EG_BLOCKS_MAX);
        sscanf(p + 8, "%31s", block->name);
        if (memchr(p, '\n', strlen(p)) &&
            sscanf(p + 8 + strlen(block->name), "%*[ ]%31[a-z]", word) == 1) {
            block->org = strcmp(word, "org") == 0;
            block->user = strcmp(word, "user") == 0;
            block->untrusted = strcmp(word, "untrusted") == 0;
            cr_assert(block->org || block->user || block->untrusted, "%s", word);
        }
        block->text = eg_slice(body, (size_t)(end - body));
        p = end + 3;
    }
}

static const struct eg_vector_block *block_of(const struct eg_blocks *b, const char *name, size_t n)
{
    for (unsigned i = 0; i < b->count; i++)
        if (strlen(b->list[i].name) == n && strncmp(b->list[i].name, name, n) == 0)
            return &b->list[i];
    cr_assert_fail("no block %.*s", (int)n, name);
    return NULL;
}

unsigned eg_blocks_of(const struct eg_blocks *b, struct eg_slice names,
                      const struct eg_vector_block *list[EG_BLOCKS_FILES])
{
    unsigned count = 0;
    while (names.n && count < EG_BLOCKS_FILES) {
        long plus = eg_slice_index(names, '+');
        size_t n = plus < 0 ? names.n : (size_t)plus;
        list[count++] = block_of(b, names.p, n);
        names = eg_slice_from(names, plus < 0 ? names.n : n + 1);
    }
    return count;
}

void eg_blocks_compile(const struct eg_blocks *b, struct eg_slice names, const char *more,
                       struct eg_buf *block)
{
    struct eg_policy_file files[EG_BLOCKS_FILES + 1];
    const struct eg_vector_block *list[EG_BLOCKS_FILES];
    struct eg_diags *diags = NULL;
    struct eg_err err = { 0 };
    struct eg_buf text;
    unsigned count = eg_blocks_of(b, names, list);
    for (unsigned i = 0; i < count; i++)
        files[i] = (struct eg_policy_file){ list[i]->name, list[i]->text,
                                            list[i]->org    ? EG_LAYER_ORG
                                            : list[i]->user ? EG_LAYER_USER
                                                            : EG_LAYER_REPO,
                                            !list[i]->untrusted };
    if (more)
        files[count++] =
            (struct eg_policy_file){ "more", eg_slice_str(more), EG_LAYER_COMMAND, true };
    cr_assert_eq(eg_diags_new(&diags), EG_OK);
    eg_buf_init(&text, 1 << 20);
    enum eg_status st = eg_policy_compile(files, count, NULL, diags, block, &err);
    cr_assert_eq(eg_diags_render(diags, false, &text), EG_OK);
    cr_assert_eq(st, EG_OK, "%s\n%.*s", err.text, (int)text.len, text.len ? text.data : "");
    eg_buf_done(&text);
    eg_diags_free(diags);
}
