# hvsockd. Each room's part is in its room.mk; everything that is made goes to .build/<mode>.
#
#   make              builds                           make check          tests (SANITIZE=1, COVERAGE=1: a build of its own)
#   make run          shows it, with real programs     make check-vm       ... in an emulated guest: real AF_VSOCK, real systemd
#   make install      DESTDIR=, PREFIX=; uninstall     make check-clients  ... with clients that we did not write
#   make deb          Debian packages in .build/deb    make check-fresh    ... README's commands in a fresh Debian
#   make golden       renews what tests compare with   make check-sanitize ... with sanitizers, gcc and clang
#   make lint         the house's rules, man pages, scripts
#   make fuzz         FUZZ_TIME=60 in all, FUZZ_SEED=    make bench          speed and memory against bare programs; BENCH_JSON=file
#   make windows      hvsockctl.exe, by mingw-w64      make check-windows  ... under Wine
#   make deps         installs what building and testing need; other targets install only what they need, with DEPS=no nothing
#   make help         prints this
#
# Also: CC=clang, WERROR=1, V=1, and every directory below.

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec/hvsockd
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/hvsockd
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
SYSTEMUNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
BASHDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
FISHDIR ?= $(DATADIR)/fish/vendor_completions.d
DESTDIR ?=

VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
.DEFAULT_GOAL := all
GOALS := $(or $(MAKECMDGOALS),all)

clean:
	rm -rf .build
deps:
	packaging/deps build check run
help:
	@sed -n '3,/^$$/s/^#[[:blank:]]\?//p' Makefile
.PHONY: clean deps help

ifeq ($(filter-out clean deps help,$(GOALS)),)
# Nothing to build.
else ifneq ($(DEPS),no)
# First what the goals need, then the goals, by a make that finds it: a fresh machine has no compiler to ask about its flags.
NEEDS_run := run
NEEDS_bench := bench
NEEDS_fuzz := fuzz
NEEDS_lint := lint
NEEDS_deb := deb
NEEDS_check-vm := vm
NEEDS_check-units := vm
NEEDS_check-guest := vm
NEEDS_windows := windows
NEEDS_check-windows := windows wine
NEEDS_check-clients := clients
NEEDS_check-fresh := fresh
NEEDS_check-sanitize := check fuzz
$(foreach g,check unit golden $(filter check-golden check-integration fuzz-replay,$(GOALS)),$(eval NEEDS_$(g) := check))
NEEDS := $(sort $(foreach g,$(GOALS),$(or $(NEEDS_$(g)),build)) $(findstring clang,$(CC)))
$(filter-out clean deps help,$(GOALS)): all-goals
	@:
all-goals:
	@packaging/deps $(NEEDS)
	@+$(MAKE) --no-print-directory DEPS=no $(GOALS)
.PHONY: all-goals $(GOALS)
else

MODE := $(notdir $(firstword $(CC)))$(if $(SANITIZE),-sanitize)$(if $(COVERAGE),-coverage)$(if $(FUZZ),-fuzz)
B := .build/$(MODE)
Q := $(if $(V),,@)

# A flag is probed once a compiler.
FLAGS_WANTED := -Wall -Wextra -Wshadow -Wundef -Wvla -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes \
  -Wwrite-strings -Wcast-qual -Wimplicit-fallthrough -Wpointer-arith -Wformat=2 -Wold-style-definition \
  -Wno-missing-field-initializers -Wno-unused-parameter -Wlogical-op -Wduplicated-cond -Wnull-dereference \
  -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero -fno-strict-aliasing
$(B)/flags.mk: Makefile
	@command -v $(firstword $(CC)) >/dev/null || { echo "make: $(CC): no such compiler; \`packaging/deps build\` installs gcc" >&2; exit 1; }
	@mkdir -p $(@D)
	@for f in $(FLAGS_WANTED); do echo 'int x;' | $(CC) -Werror $$f -x c -c -o /dev/null - 2>/dev/null && printf '%s ' $$f; done \
	  | sed 's/^/FLAGS := /' > $@
include $(B)/flags.mk

OPT := $(if $(SANITIZE)$(COVERAGE)$(FUZZ),-O1,-O2)
MODE_FLAGS := $(if $(SANITIZE),-fsanitize=address -fsanitize=undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined) $(if $(COVERAGE),--coverage) \
  $(if $(FUZZ),-fsanitize=fuzzer-no-link -fsanitize=address -fsanitize=undefined)
FORTIFY := $(if $(SANITIZE)$(FUZZ)$(COVERAGE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
CFLAGS ?= -g
override CFLAGS += -std=gnu17 $(OPT) $(FORTIFY) -fPIC $(FLAGS) $(if $(WERROR)$(CI),-Werror) $(MODE_FLAGS) -ffunction-sections -fdata-sections
override CPPFLAGS += -D_GNU_SOURCE -I. -I$(B) -DHVSOCK_VERSION='"$(VERSION)"' -DHVSOCK_LIBEXECDIR='"$(LIBEXECDIR)"'
override LDFLAGS += -Wl,-z,relro,-z,now,--gc-sections,--as-needed $(MODE_FLAGS)

PACKAGES := sqlite3 yaml-0.1 jansson libsystemd smartcols
PKG_CONFIG ?= pkg-config
SYSTEM_CFLAGS := $(shell $(PKG_CONFIG) --print-errors --cflags $(PACKAGES))
$(if $(filter 0,$(.SHELLSTATUS)),,$(error A library is missing, see above; `packaging/deps build` installs it))
$(foreach p,$(PACKAGES),$(eval LIBS_$(p) := $(shell $(PKG_CONFIG) --libs $(p))))
override CPPFLAGS += $(SYSTEM_CFLAGS)

# What the objects are made with; when it has changed, they are made again.
BUILT_WITH := $(CC) $(CPPFLAGS) $(filter-out -Werror,$(CFLAGS)) $(LDFLAGS)
$(shell mkdir -p $(B))
ifneq ($(file <$(B)/built-with),$(BUILT_WITH))
$(file >$(B)/built-with,$(BUILT_WITH))
endif

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
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(or $(2),-pie) -o $@ $(filter %.o %.a,$^) $(1)
endef

ALL :=
comma := ,
include schema/room.mk config/room.mk daemon/room.mk ctl/room.mk tests/room.mk packaging/room.mk packaging/windows/windows.mk

all: $(ALL)

define compile
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC  $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
$(B)/%.o: %.c $(B)/built-with
	$(compile)
$(B)/%.o: $(B)/%.c $(B)/built-with
	$(compile)

-include $(shell find $(B) -type f -name '*.d' 2>/dev/null)
.PHONY: all
.PRECIOUS: $(B)/%.o
.DELETE_ON_ERROR:
endif
