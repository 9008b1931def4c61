# tests: each kind has its own part: tests/unit here, the others in tests/KIND/KIND.mk. A part that `make check` runs adds
# its target to CHECKS; a target that counts ends with the line `NAME: N passed, N failed, N skipped`.
CHECKS := unit

# ---- unit: tests/unit/test-MODULE.c, each a program of its own that may use every archive ----
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test-*.c))
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/daemon.a $(B)/ctl.a $(B)/libhvsock.a $(B)/config.a $(B)/schema.a
	$(call link,-lcmocka $(LIBS_libsystemd) $(LIBS_sqlite3) $(LIBS_yaml-0.1) $(LIBS_jansson) $(LIBS_smartcols))
# Those of hvsock-keeper, which is a program of its own, use its own.
$(B)/tests/unit/test-keeper-%: $(B)/tests/unit/test-keeper-%.o $(B)/keeper.a $(B)/schema.a
	$(call link,-lcmocka)

unit: $(UNIT_TESTS)
	$(Q)tests/unit/run $(UNIT_TESTS)

include $(wildcard tests/*/*.mk)

# ---- all of it ----
check: all
	$(if $(COVERAGE),@find $(B) -name '*.gcda' -delete)
	+$(Q)tests/tally $(foreach c,$(CHECKS),$(c) '$(MAKE) --no-print-directory $(c)')
	$(if $(COVERAGE),@tests/coverage $(B))

check-sanitize:
	+$(Q)tests/tally gcc '$(MAKE) --no-print-directory CC=gcc SANITIZE=1 check' clang '$(MAKE) --no-print-directory CC=clang SANITIZE=1 check'

.PHONY: unit check check-sanitize $(CHECKS)
