/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": edit distance with transpositions between two short words. A Nearest lives on its caller's stack. */

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "schema/codec/nearest.h"

#define WORD_MAX_BYTES 40

/* Lower case, without what people put between words. Returns the size, or WORD_MAX_BYTES + 1 where it is longer. */
static size_t fold(const char *word, char folded[static WORD_MAX_BYTES])
{
    size_t size = 0;

    for (; *word; word++) {
        if (*word == '_' || *word == '-' || *word == ' ')
            continue;
        if (size == WORD_MAX_BYTES)
            return WORD_MAX_BYTES + 1;
        folded[size++] = (char)tolower((unsigned char)*word);
    }
    return size;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance_between(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_MAX_BYTES + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_size; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_size];
}

Nearest nearest_to(const char *word)
{
    return (Nearest){.word = word, .distance = SIZE_MAX};
}

void nearest_offer(Nearest *nearest, const char *candidate)
{
    char a[WORD_MAX_BYTES], b[WORD_MAX_BYTES];
    size_t a_size = fold(nearest->word, a), b_size = fold(candidate, b);

    if (a_size > WORD_MAX_BYTES || b_size > WORD_MAX_BYTES)
        return;
    size_t distance = distance_between(a, a_size, b, b_size);
    /* One slip in three letters: more is another word. */
    if (distance < nearest->distance && distance * 3 <= b_size) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}
