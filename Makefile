# hvsockd. `make` builds, `make run` shows it, `make check` tests it; each room's part is in its room.mk.
# make [CC=clang] [SANITIZE=1] [COVERAGE=1] [WERROR=1] [V=1] [DEPS=no]

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec/hvsockd
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
SYSTEMUNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=

VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
MODE := $(notdir $(firstword $(CC)))$(if $(SANITIZE),-sanitize)$(if $(COVERAGE),-coverage)$(if $(FUZZ),-fuzz)
B := .build/$(MODE)
Q := $(if $(V),,@)
.DEFAULT_GOAL := all

# A flag is probed once a compiler.
FLAGS_WANTED := -Wall -Wextra -Wshadow -Wundef -Wvla -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes \
  -Wwrite-strings -Wcast-qual -Wimplicit-fallthrough -Wpointer-arith -Wformat=2 -Wold-style-definition \
  -Wno-missing-field-initializers -Wno-unused-parameter -Wlogical-op -Wduplicated-cond -Wnull-dereference \
  -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero -fno-strict-aliasing
$(B)/flags.mk: Makefile
	@mkdir -p $(@D)
	@for f in $(FLAGS_WANTED); do echo 'int x;' | $(CC) -Werror $$f -x c -c -o /dev/null - 2>/dev/null && printf '%s ' $$f; done \
	  | sed 's/^/FLAGS := /' > $@
-include $(B)/flags.mk

OPT := $(if $(SANITIZE)$(COVERAGE)$(FUZZ),-O1,-O2)
MODE_FLAGS := $(if $(SANITIZE),-fsanitize=address -fsanitize=undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined) $(if $(COVERAGE),--coverage) \
  $(if $(FUZZ),-fsanitize=fuzzer-no-link -fsanitize=address -fsanitize=undefined)
FORTIFY := $(if $(SANITIZE)$(FUZZ)$(COVERAGE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
CFLAGS ?= -g
override CFLAGS += -std=gnu17 $(OPT) $(FORTIFY) -fPIC $(FLAGS) $(if $(WERROR)$(CI),-Werror) $(MODE_FLAGS) -ffunction-sections -fdata-sections
override CPPFLAGS += -D_GNU_SOURCE -I. -I$(B) -DHVSOCK_VERSION='"$(VERSION)"' -DHVSOCK_LIBEXECDIR='"$(LIBEXECDIR)"'
override LDFLAGS += -pie -Wl,-z,relro,-z,now,--gc-sections,--as-needed $(MODE_FLAGS)

PACKAGES := sqlite3 yaml-0.1 jansson libsystemd smartcols
$(foreach p,$(PACKAGES),$(eval LIBS_$(p) = $(shell pkg-config --libs $(p) 2>/dev/null)))
SYSTEM_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
override CPPFLAGS += $(SYSTEM_CFLAGS)

# One archive a room; the linker takes what is used. $(2): sources of the tree, and made ones under $(B).
define archive
$(B)/$(1).a: $(patsubst %.c,$(B)/%.o,$(patsubst $(B)/%,%,$(2)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) crs $$@ $$^
endef

define link
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LD  $@')
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(1)
endef

ALL :=
include schema/room.mk config/room.mk daemon/room.mk ctl/room.mk tests/room.mk packaging/room.mk

all: $(ALL)

define compile
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC  $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
$(B)/%.o: %.c Makefile $(B)/flags.mk
	$(compile)
$(B)/%.o: $(B)/%.c Makefile $(B)/flags.mk
	$(compile)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

clean:
	rm -rf .build

.PHONY: all clean
