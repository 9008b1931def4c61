# hvsockctl and libhvsock.
LIBHVSOCK_SOURCES := $(wildcard ctl/libhvsock/*.c)
$(eval $(call archive,libhvsock,$(LIBHVSOCK_SOURCES)))
# The library for others: what libhvsock.map names, and nothing else, is to be seen.
$(B)/libhvsock.so.0: $(LIBHVSOCK_SOURCES:%.c=$(B)/%.o) $(B)/schema.a ctl/libhvsock/libhvsock.map
	$(call link,$(LIBS_jansson),-shared -Wl$(comma)-soname=libhvsock.so.0 -Wl$(comma)--version-script=ctl/libhvsock/libhvsock.map)
ALL += $(B)/libhvsock.so.0
CTL_SOURCES := $(filter-out ctl/main.c,$(wildcard ctl/*.c)) $(wildcard ctl/stream/*.c ctl/verbs/*.c)
$(eval $(call archive,ctl,$(CTL_SOURCES) $(if $(wildcard ctl/verb.h),$(B)/ctl/verbs.c)))

# The table of verbs, from the names of their files: ctl/verbs/machine.c defines verb_machine.
VERBS := $(patsubst ctl/verbs/%.c,%,$(sort $(wildcard ctl/verbs/*.c)))
$(B)/ctl/verbs.c: ctl/room.mk $(wildcard ctl/verbs/*.c)
	@mkdir -p $(@D)
	@{ echo '#include "ctl/verb.h"'; for v in $(VERBS); do echo "extern const Verb verb_$$v;"; done; \
	   echo 'const Verb *const verbs[] = {'; for v in $(VERBS); do echo "    &verb_$$v,"; done; echo '    NULL};'; } > $@

# libsmartcols is loaded with the first table, ctl/table.c.
ifneq ($(wildcard ctl/main.c),)
$(B)/hvsockctl: $(B)/ctl/main.o $(B)/ctl.a $(B)/libhvsock.a $(B)/config.a $(B)/schema.a
	$(call link,$(LIBS_yaml-0.1) $(LIBS_jansson))
ALL += $(B)/hvsockctl
endif
