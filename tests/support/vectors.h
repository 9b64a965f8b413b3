/* vectors.h - reads the Markdown tables of tests/vectors.
 *
 * A table is lines that begin with '|': a heading, a line of dashes, rows. Cells are trimmed, one
 * pair of backticks around a cell is taken off, then the escapes \xHH \r \n \t \\ \| are decoded;
 * an escape that is none of these is a fault of the file. Empty cells are empty slices. */
#ifndef EG_TESTS_SUPPORT_VECTORS_H
#define EG_TESTS_SUPPORT_VECTORS_H

#include "base/slice.h"

enum { EG_VECTOR_COLUMNS_MAX = 16 };

struct eg_vector_row {
    const char *file;
    int line;
    size_t columns;
    const struct eg_slice *cell; /* decoded; each is followed by a NUL byte */
};

/* Calls each(row, ctx) for every row of every table in the file that has this number of columns;
 * other tables are passed over, but a row that differs from its own heading is a fault. The cells
 * live until each() returns. The path is as given, or else below EG_SOURCE_DIR. Returns the number
 * of rows, or -1 after it has named file:line and the fault on stderr: assert that the result is at
 * least what the file is known to hold. */
long eg_vectors_each(const char *path, size_t columns,
                     void (*each)(const struct eg_vector_row *row, void *ctx), void *ctx);

/* Compares a cell with a C string. */
bool eg_vector_is(struct eg_slice cell, const char *text);

/* The bytes with everything but visible ASCII and blanks as \xHH, for messages. In a ring of 8
 * static buffers of 400 bytes; longer text is cut. */
const char *eg_vector_show(struct eg_slice bytes);

#endif
