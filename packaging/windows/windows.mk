# hvsockctl.exe: the same schema, config and verbs, with Windows' own registry behind the seam (ctl/windows). One static program,
# system DLLs only. libyaml and jansson are built from Debian's source packages.
W := .build/windows
MINGW ?= x86_64-w64-mingw32-
W_CFLAGS := -std=gnu17 -Os -Wall -Wextra -Wshadow -Wundef -Wvla -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes \
  -Wwrite-strings -Wimplicit-fallthrough -Wpointer-arith -Wold-style-definition -Wno-missing-field-initializers \
  -Wno-unused-parameter -Wno-format $(if $(WERROR)$(CI),-Werror) -fno-strict-aliasing -fno-asynchronous-unwind-tables \
  -ffunction-sections -fdata-sections -include packaging/windows/posix/posix.h
W_CPPFLAGS := -D_GNU_SOURCE -D__USE_MINGW_ANSI_STDIO=1 -DWINVER=0x0A00 -D_WIN32_WINNT=0x0A00 -DUNICODE -D_UNICODE -DYAML_DECLARE_STATIC \
  -I. -I$(W) -Ipackaging/windows/posix -I$(W)/sources/libyaml/include -I$(W)/sources/jansson/src -Ipackaging/windows/libraries -DHVSOCK_VERSION='"$(VERSION)"'
W_LDFLAGS := -static -s -municode -Wl,--gc-sections,--dynamicbase,--nxcompat,--high-entropy-va
W_LIBS := -ladvapi32 -lws2_32

# Whole files differ by platform: what has its counterpart in ctl/windows or packaging/windows/posix is left out here.
W_VERBS := $(sort apply check disable enable guid register schema show unregister version who $(notdir $(basename $(wildcard ctl/verbs/export.c ctl/verbs/import.c))) \
  $(patsubst ctl/windows/verbs/%.c,%,$(wildcard ctl/windows/verbs/*.c)))
W_TRANSPORTS := $(B)/schema/transports.c $(wildcard $(B)/config/*.c)
W_SOURCES := $(filter-out schema/base/process.c schema/base/stale.c schema/base/user.c,$(wildcard schema/base/*.c)) $(wildcard schema/model/*.c schema/codec/*.c) \
  $(filter-out config/load-host.c config/load-program.c,$(CONFIG_SOURCES)) \
  $(addprefix ctl/,changes.c ctl.c fields.c files.c help.c json.c main.c options.c output.c reg-file.c register.c service.c verb.c) \
  $(wildcard $(patsubst %,ctl/verbs/%.c,$(filter-out $(patsubst ctl/windows/verbs/%.c,%,$(wildcard ctl/windows/verbs/*.c)),$(W_VERBS)))) \
  $(wildcard ctl/windows/*.c ctl/windows/verbs/*.c packaging/windows/posix/*.c)
W_OBJECTS := $(W_SOURCES:%.c=$(W)/%.o) $(W)/verbs.o $(W)/transports.o $(if $(EXPORT_TARGETS),$(W)/export-targets.o)
W_LIBRARIES := $(W)/yaml.a $(W)/jansson.a

windows: $(W)/hvsockctl.exe
check-windows: $(W)/hvsockctl.exe $(W)/hvsockctl-faults.exe $(W)/tool.exe $(B)/hvsockctl
	$(Q)tests/windows/run $(W) $(B)/hvsockctl $(TESTS)
.PHONY: windows check-windows

$(W)/hvsockctl.exe: $(W_OBJECTS) $(W_LIBRARIES)
	$(if $(V),,@echo '  LD  $@')
	$(Q)$(MINGW)gcc $(W_LDFLAGS) -o $@ $^ $(W_LIBS)

# For tests alone: what Windows' registry and sockets answer can be made to fail (tests/windows/faults.h).
W_FAULTY := store hyperv stream
$(W)/faults/%.o: ctl/windows/%.c tests/windows/faults.h $(W)/built-with | $(W)/sources.done
	$(call compile-windows,-include tests/windows/faults.h)
$(W)/hvsockctl-faults.exe: $(filter-out $(W_FAULTY:%=$(W)/ctl/windows/%.o),$(W_OBJECTS)) $(W_FAULTY:%=$(W)/faults/%.o) \
  $(W)/tests/windows/faults.o $(W_LIBRARIES)
	$(Q)$(MINGW)gcc $(W_LDFLAGS) -o $@ $^ $(W_LIBS)
$(W)/tool.exe: tests/windows/tool.c
	$(Q)$(MINGW)gcc -Os -static -s -o $@ $<

W_BUILT_WITH := $(MINGW) $(W_CPPFLAGS) $(filter-out -Werror,$(W_CFLAGS)) $(W_LDFLAGS) $(W_SOURCES)
$(shell mkdir -p $(W))
ifneq ($(file <$(W)/built-with),$(W_BUILT_WITH))
$(file >$(W)/built-with,$(W_BUILT_WITH))
endif

define compile-windows
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC  $< (Windows)')
	$(Q)$(MINGW)gcc $(W_CPPFLAGS) $(W_CFLAGS) $(1) -MMD -MP -c -o $@ $<
endef
$(W)/%.o: %.c $(W)/built-with | $(W)/sources.done
	$(compile-windows)
# wmain calls what is main elsewhere.
$(W)/ctl/main.o: ctl/main.c $(W)/built-with | $(W)/sources.done
	$(call compile-windows,-Dmain=hvsockctl_main -Wno-missing-prototypes)
$(W)/verbs.o: $(W)/verbs.c $(W)/built-with | $(W)/sources.done
	$(compile-windows)
$(W)/transports.o: $(B)/schema/transports.c $(W)/built-with | $(W)/sources.done
	$(compile-windows)
$(W)/export-targets.o: $(B)/config/export-targets.c $(W)/built-with | $(W)/sources.done
	$(compile-windows)

$(W)/verbs.c: packaging/windows/windows.mk $(W)/built-with
	@{ echo '#include "ctl/verb.h"'; for v in $(W_VERBS); do echo "extern const Verb verb_$$v;"; done; \
	   echo 'const Verb *const verbs[] = {'; for v in $(W_VERBS); do echo "    &verb_$$v,"; done; echo '    NULL};'; } > $@

$(W)/sources.done: packaging/windows/sources
	$(if $(V),,@echo '  SRC libyaml, jansson')
	$(Q)packaging/windows/sources $(W)/sources
	@touch $@

# Their own warnings are theirs.
W_LIBRARY_FLAGS := -std=gnu17 -Os -w -fno-strict-aliasing -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections \
  -DHAVE_CONFIG_H -DYAML_DECLARE_STATIC -I$(CURDIR)/packaging/windows/libraries
$(W)/yaml.a: $(W)/sources.done $(wildcard packaging/windows/libraries/*)
	$(if $(V),,@echo '  LIB $@')
	$(Q)rm -rf $(W)/yaml $@ && mkdir -p $(W)/yaml && cd $(W)/yaml && \
	  $(MINGW)gcc $(W_LIBRARY_FLAGS) -I../sources/libyaml/include -c ../sources/libyaml/src/*.c && $(MINGW)ar crs ../yaml.a *.o
$(W)/jansson.a: $(W)/sources.done $(wildcard packaging/windows/libraries/*)
	$(if $(V),,@echo '  LIB $@')
	$(Q)rm -rf $(W)/jansson $@ && mkdir -p $(W)/jansson && cd $(W)/jansson && \
	  $(MINGW)gcc $(W_LIBRARY_FLAGS) -I../sources/jansson/src -c ../sources/jansson/src/*.c && $(MINGW)ar crs ../jansson.a *.o

-include $(shell find $(W) -name '*.d' 2>/dev/null)
