/* SPDX-License-Identifier: Apache-2.0 */
/* hvsockctl who: whose a name, port, GUID or address is. The form says which of them is meant. */

#include <string.h>

#include "ctl/ctl.h"
#include "ctl/service.h"
#include "schema/base/text.h"
#include "schema/model/address.h"
#include "schema/model/records.h"

typedef struct Question {
    RegistryQuery query;
    uint32_t port;
    const char *kind; /* for messages */
} Question;

static bool text_is_digits(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static int who_read_port(const Ctl *ctl, const char *text, Question *question)
{
    uint64_t port;

    if (!text_to_number(text, UINT32_MAX, &port))
        return ctl_usage(ctl, text, "a port is a plain decimal number from 0 to 4294967295", "not a port");
    question->port = (uint32_t)port;
    question->query.port = &question->port;
    question->kind = "port";
    return 0;
}

static int who_read_address(const Ctl *ctl, const char *text, Question *question)
{
    const char *reason = NULL, *hint = NULL;
    Address address;

    int r = address_parse(text, &address, &reason, &hint);
    if (r == ADDRESS_REFUSED)
        return ctl_usage(ctl, text, hint, "%s", reason);
    if (r < 0)
        return r;
    address_release(&address);
    question->query.address = text;
    question->kind = "address";
    return 0;
}

/* Digits are a port, a GUID's shape is a GUID, :// is a URI, all else a name. 0; ExitStatus. */
static int who_read(const Ctl *ctl, const char *text, Question *question)
{
    Guid guid;

    if (text_is_digits(text))
        return who_read_port(ctl, text, question);
    if (guid_has_shape(text)) {
        if (!guid_parse(text, &guid))
            return ctl_usage(ctl, text, "8-4-4-4-12 hexadecimal digits, with or without braces", "not a GUID");
        question->query.guid = text;
        question->kind = "GUID";
        return 0;
    }
    if (strstr(text, "://") || text_starts_with(text, "vsock:"))
        return who_read_address(ctl, text, question);
    const char *wrong = format_service_name.check(text);
    if (wrong)
        return ctl_usage(ctl, text, "a name has lower-case letters, digits, dots, dashes and underscores",
                         "not a port, GUID or URI, and not a name: %s", wrong);
    question->query.name = text;
    question->kind = "name";
    return 0;
}

static int who_tell_free(Ctl *ctl, const Question *question, const char *text)
{
    const char *machine = question->query.machine;

    if (ctl->output.json)
        output_json(&ctl->output, "[]", 2);
    ctl_tell(text, "hvsockctl register takes it", "this %s is free%s%s", question->kind, machine ? " on " : "",
             machine ? machine : "");
    return EXIT_NO;
}

typedef struct Answers {
    size_t count;
    Output output;
    bool sentences;
} Answers;

/* A RegistryVisitor. */
static int who_on_service(const char *json, size_t size_bytes, void *userdata)
{
    Answers *answers = userdata;

    answers->count++;
    return answers->sentences ? service_tell(json, size_bytes, true) : output_add(json, size_bytes, &answers->output);
}

/* A sentence for each; only who asks for columns gets a table. */
static int who_ask(Ctl *ctl, const Question *question, const char *text)
{
    OutputFormat format = output_list_format(&ctl->output);
    Answers answers = {
        .sentences = format == OUTPUT_TABLE && !ctl->output.columns_wanted && !ctl->output.no_headings,
    };
    Registry *registry;

    int r = ctl_open(ctl, &registry);
    if (r != 0)
        return r;
    if (!answers.sentences)
        r = output_open(&ctl->output, format, service_columns, "services", &record_type_ServiceContext,
                        &answers.output);
    if (r == 0)
        r = registry->ops->lookup(registry, &question->query, who_on_service, &answers);
    if (r == 0 && answers.count > 0 && !answers.sentences)
        r = output_close(&answers.output);
    output_release(&answers.output);
    if (answers.count == 0 && (r == 0 || (r == REGISTRY_REFUSED && text_equal(registry->refusal, "NoSuchService"))))
        return who_tell_free(ctl, question, text);
    return ctl_refused(ctl, r, text);
}

static int who_run(Ctl *ctl)
{
    const char *text = ctl->given.operands[0];
    Question question = {.query.machine = given_value(&ctl->given, "machine", NULL)};

    int r = who_read(ctl, text, &question);
    return r != 0 ? r : who_ask(ctl, &question, text);
}

static const Option who_options[] = {
    {.name = "machine",
     .argument = "MACHINE",
     .completes = COMPLETES_MACHINES,
     .help = "Only services that this machine reaches."},
    {0},
};

const Verb verb_who = {
    .name = "who",
    .group = VERBS_OF_SERVICES,
    .synopsis = "NAME|PORT|GUID|URI [--machine MACHINE]",
    .help = "Say whose a name, port, GUID or address is",
    .description =
        "Digits are a port, a GUID's shape is a GUID, :// makes a URI, all else is a name. A line for each service "
        "that has it: two can have one port in different address spaces; with -o or --no-headings a table. Exits 1 "
        "where it is free. With --json an array of Service.",
    .options = who_options,
    .columns = service_columns,
    .operands = COMPLETES_SERVICES,
    .operand = "NAME, PORT, GUID or URI",
    .operands_min = 1,
    .operands_max = 1,
    .writes_yaml = true,
    .run = who_run,
};
