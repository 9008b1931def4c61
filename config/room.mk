# config: text <-> records.
CONFIG_SOURCES := $(wildcard config/*.c config/export/*.c config/import/*.c)
$(eval $(call archive,config,$(CONFIG_SOURCES) $(B)/config/export-targets.c))

# The table of what export writes, from the names of its files: config/export/cloud-hypervisor.c defines export_cloud_hypervisor.
EXPORT_TARGETS := $(patsubst config/export/%.c,%,$(sort $(wildcard config/export/*.c)))
$(B)/config/export-targets.c: config/room.mk $(wildcard config/export/*.c)
	@mkdir -p $(@D)
	@{ echo '#include "config/export.h"'; for t in $(subst -,_,$(EXPORT_TARGETS)); do echo "extern const ExportTarget export_$$t;"; done; \
	   echo 'const ExportTarget *const export_targets[] = {'; for t in $(subst -,_,$(EXPORT_TARGETS)); do echo "    &export_$$t,"; done; echo '    NULL};'; \
	   echo 'const char *const export_target_names[] = {'; for t in $(EXPORT_TARGETS); do echo "    \"$$t\","; done; echo '    NULL};'; } > $@
