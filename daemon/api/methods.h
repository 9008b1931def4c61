/* SPDX-License-Identifier: Apache-2.0 */
/* THE table of methods: what the interface files name, who may call it, what its parameters are, and who handles it. */
#pragma once

#include "daemon/api/call.h"
#include "schema/model/field.h"

typedef enum MethodFlags {
    METHOD_WRITE = 1 << 0,         /* administrators and delegates; answered after a commit */
    METHOD_ADMINISTRATOR = 1 << 1, /* administrators alone */
    METHOD_HANDOUT = 1 << 2,       /* also on an entry under RUNTIME/handout */
    METHOD_PLAIN = 1 << 4,         /* reads what is in memory, and touches nothing else: see poll.h, POLL_QUIET */
    METHOD_ALONE = 1 << 3,         /* a write that can touch everything: earlier ones are settled first */
} MethodFlags;

struct Method {
    const char *name; /* with its interface */
    /* Renders the reply's parameters; or sets finish, or next. 0; a FailureCode with call->failure set; -errno.
     * NULL: not implemented. */
    int (*handler)(Call *call, Buffer *reply);
    unsigned flags;
    const RecordType *parameters; /* NULL: it has none */
};

extern const Method methods[]; /* ended by a NULL name */
#define METHODS_MAX 32

/* From the method's name on: finds it, asks who may, reads the parameters. Answers as handlers do. */
int method_prepare(Call *call);
/* Calls the handler of a call that is prepared; what it must not overtake is settled before. Answers as handlers do. */
int method_run(Call *call, Buffer *reply);
/* A write that goes into a turn with others: it needs nothing settled before. */
bool method_is_staged(const Call *call);

/* A write begins, which finish answers after its commit: where an earlier one of this turn is about the same name, that one is
 * settled first. -errno. */
int method_begin_write(Call *call, const char *name, int (*finish)(Call *call, Buffer *reply));
/* A finish that answers nothing but that it is done. */
int method_finish_empty(Call *call, Buffer *reply);
/* {"service":…}, as this client may see it. As handlers do. */
int method_render_service(Call *call, Service *service, Buffer *reply);
/* On an entry to one service: any other is NotAllowed. As handlers do. */
int method_check_entry(Call *call, const char *name);
/* One more that is told of things as they happen: is there room? As handlers do. */
int method_check_watchers(Call *call);

/* Handlers, one file a group. */
int method_get_info(Call *call, Buffer *reply);
int method_get_interface_description(Call *call, Buffer *reply);

int method_register(Call *call, Buffer *reply);
int method_unregister(Call *call, Buffer *reply);
int method_set_enabled(Call *call, Buffer *reply);
int method_apply(Call *call, Buffer *reply);
int method_reload(Call *call, Buffer *reply);

int method_list(Call *call, Buffer *reply);
int method_describe(Call *call, Buffer *reply);
int method_lookup(Call *call, Buffer *reply);
int method_status(Call *call, Buffer *reply);

int method_add_machine(Call *call, Buffer *reply);
int method_remove_machine(Call *call, Buffer *reply);
int method_list_machines(Call *call, Buffer *reply);

int method_acquire(Call *call, Buffer *reply);
int method_serve(Call *call, Buffer *reply);
int method_list_connections(Call *call, Buffer *reply);
int method_watch(Call *call, Buffer *reply);
int method_read_log(Call *call, Buffer *reply);
int method_metrics(Call *call, Buffer *reply);

/* The texts of the interfaces, embedded. */
typedef struct Interface {
    const char *name;
    const char *description;
} Interface;
extern const Interface interfaces[]; /* ended by a NULL name */
