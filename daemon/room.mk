# hvsockd: main -> api -> manager -> leaf rooms.
DAEMON_SOURCES := $(wildcard daemon/store/*.c daemon/bind/*.c daemon/place/*.c daemon/handout/*.c daemon/hold/*.c daemon/activate/*.c \
  daemon/plan/*.c daemon/access/*.c daemon/journal/*.c daemon/metrics/*.c daemon/manager/*.c daemon/api/*.c) daemon/folder.c daemon/log.c
$(eval $(call archive,daemon,$(DAEMON_SOURCES) $(B)/daemon/binders.c))

# The table of binders, from the names of their files.
BINDERS := $(patsubst daemon/bind/bind-%.c,%,$(wildcard daemon/bind/bind-*.c))
$(B)/daemon/binders.c: daemon/room.mk $(wildcard daemon/bind/bind-*.c)
	@mkdir -p $(@D)
	@{ echo '#include "daemon/bind/bind.h"'; \
	   for t in $(BINDERS); do echo "extern const Binder binder_$$t;"; done; \
	   echo 'const Binder *const binders[] = {'; for t in $(BINDERS); do echo "    &binder_$$t,"; done; echo '    NULL};'; } > $@

# SQL and the interface are embedded; the objects depend on them.
$(B)/daemon/store/migrations.o: $(wildcard schema/sql/*.sql)
$(B)/daemon/api/interface.o: $(wildcard schema/varlink/*.varlink)

ifneq ($(wildcard daemon/main.c),)
$(B)/hvsockd: $(B)/daemon/main.o $(B)/daemon.a $(B)/config.a $(B)/schema.a
	$(call link,$(LIBS_libsystemd) $(LIBS_sqlite3) $(LIBS_yaml-0.1) $(LIBS_jansson))
ALL += $(B)/hvsockd
endif

# hvsock-keeper: a program of its own, of few objects, so that it starts fast.
$(eval $(call archive,keeper,$(filter-out daemon/keeper/main.c,$(wildcard daemon/keeper/*.c))))
# What runs in the keeper's memory after clone must not leave marks there for tools that do not know of it.
$(B)/daemon/keeper/child.o: override CFLAGS += $(if $(SANITIZE)$(FUZZ),-fno-sanitize=all)
$(eval $(call archive,place,$(wildcard daemon/place/*.c)))
$(B)/hvsock-keeper: $(B)/daemon/keeper/main.o $(B)/keeper.a $(B)/place.a $(B)/schema.a
	$(call link)
ALL += $(B)/hvsock-keeper
