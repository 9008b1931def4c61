/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses which service of a pool: a file under ProgramData that the pool's creation prepares, and that every user may change.
 * A claim is a process, by its id and the time it began; it ends with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/cleanup.h"

typedef struct Claim Claim;
typedef struct Claims Claims;

struct Claim {
    uint32_t process_id; /* 0: nobody's */
    uint64_t began_at;   /* FILETIME */
};

/* Open and locked against other hvsockctls, until it is closed. */
struct Claims {
    void *file;
    Claim *items;
    size_t count;
    char *path;
    char *error;
};

/* Makes the file anew, for so many services, as an administrator. 0; CLAIMS_FAILED: error says why; -ENOMEM. */
enum { CLAIMS_FAILED = 1 };
int claims_create(const char *pool, size_t count, Claims *ret);
/* Reads it; claims of processes that have ended are nobody's. */
int claims_open(const char *pool, size_t count, Claims *ret);
int claims_write(Claims *claims);
void claims_release(Claims *claims);
void claims_remove(const char *pool);

/* The process as it is now. false: there is none of that id. */
bool claim_of_process(uint32_t process_id, Claim *ret);
/* Of who called this program; 0: not known. */
uint32_t claim_parent_process(void);
