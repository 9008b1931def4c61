# schema: what a service is. One archive; nothing outside of this room is used.
SCHEMA_SOURCES := $(wildcard schema/base/*.c schema/model/*.c schema/codec/*.c schema/wire/*.c)
$(eval $(call archive,schema,$(SCHEMA_SOURCES) $(B)/schema/transports.c))

# The table of transports, from the names of their files.
TRANSPORTS := $(patsubst schema/model/transport-%.c,%,$(wildcard schema/model/transport-*.c))
$(B)/schema/transports.c: schema/room.mk $(wildcard schema/model/transport-*.c)
	@mkdir -p $(@D)
	@{ echo '#include "schema/model/address.h"'; \
	   for t in $(TRANSPORTS); do echo "extern const Transport transport_$$t;"; done; \
	   echo 'const Transport *const transports[] = {'; for t in $(TRANSPORTS); do echo "    &transport_$$t,"; done; echo '    NULL};'; } > $@
